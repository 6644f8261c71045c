"""Bars as a PNG (ISO/IEC 15948): good mail below, bad mail on top, a mark under each day or hour.

So small a picture needs no library for pictures: a palette of five colours, one byte a pixel.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Final

_PALETTE: Final = bytes.fromhex("ffffff 5b8db8 c0392b d9d9d9 888888".replace(" ", ""))
_PAPER, _GOOD, _BAD, _LINE, _MARK = range(5)
_HEIGHT: Final = 80  # pixels of the highest bar
_BAR: Final = 14  # pixels from one bar to the next; two of them are paper
_EDGE: Final = 4


def bars(values: Sequence[tuple[int, int]], every: int) -> bytes:
    """``values`` are (good, bad), a bar each; every so many there is a mark on the line."""
    width = _BAR * len(values) + 2 * _EDGE
    rows = [bytearray(width) for _ in range(_HEIGHT + 2 * _EDGE + 4)]
    base = _EDGE + _HEIGHT
    rows[base][_EDGE : width - _EDGE] = bytes([_MARK]) * (width - 2 * _EDGE)
    for quarter in range(4):
        rows[_EDGE + quarter * _HEIGHT // 4] = bytearray([_LINE]) * width
    most = max((good + bad for good, bad in values), default=0) or 1
    for number, (good, bad) in enumerate(values):
        left = _EDGE + number * _BAR + 1
        if number % every == 0:
            for row in rows[base : base + 4]:
                row[left - 1] = _MARK
        low, high = _pixels(good, most), _pixels(good + bad, most)
        high = max(high, low + 1) if bad else high  # what is bad is seen, however much is good
        for level in range(1, min(high, _HEIGHT) + 1):
            colour = _GOOD if level <= min(low, _HEIGHT - bool(bad)) else _BAD
            rows[base - level][left : left + _BAR - 2] = bytes([colour]) * (_BAR - 2)
    return _png(width, rows)


def _pixels(value: int, most: int) -> int:
    return max(round(value * _HEIGHT / most), 1 if value else 0)


def _png(width: int, rows: Sequence[bytes | bytearray]) -> bytes:
    head = struct.pack(">IIBBBBB", width, len(rows), 8, 3, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    chunks = ((b"IHDR", head), (b"PLTE", _PALETTE), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
