"""lzop files: LZO1X in blocks, each with checksums (lzop 1.04, conf.h; Linux, lzo.txt).

For the table in `compressed`.  A block makes no more than it says, which counts before it is made.
"""

from __future__ import annotations

import zlib
from typing import Final

from spoolscan.scanner.unpack.meter import Meter, Stream, repeat

_MAGIC: Final = b"\x89LZO\0\r\n\x1a\n"
_BLOCK: Final = 1 << 26  # bytes; lzop makes no larger ones
_ADLER_PLAIN, _ADLER_PACKED, _EXTRA = 1, 2, 0x40
_CRC_PLAIN, _CRC_PACKED, _FILTER = 0x100, 0x200, 0x800
_METHODS: Final = (1, 2, 3)  # LZO1X-1, its 15 bit form, and LZO1X-999: one decoder reads them all


class _Broken(Exception):
    """A file that contradicts itself."""


def is_lzop(data: bytes, at: int) -> bool:
    return data.startswith(_MAGIC[:5], at)


def lzop(data: bytes, at: int, meter: Meter) -> tuple[bytes, Stream]:
    """One file at ``at``, with its name.  Raises LimitReached."""
    out = bytearray()
    name = b""
    try:
        if not data.startswith(_MAGIC, at):
            raise _Broken
        name, flags, at = _header(data, at + len(_MAGIC))
        end = _blocks(data, at, flags, out, meter)
    except (_Broken, IndexError):
        return name, Stream(bytes(out), len(data), whole=False)
    return name, Stream(bytes(out), end, whole=True)


def _number(data: bytes, at: int, size: int = 4) -> int:
    if at + size > len(data):
        raise _Broken
    return int.from_bytes(data[at : at + size])


def _header(data: bytes, at: int) -> tuple[bytes, int, int]:
    """Name, flags, and where the blocks begin."""
    new = _number(data, at, 2) >= 0x940  # since then with a level, and times of eight bytes
    at += 6 if new else 4
    if data[at] not in _METHODS:
        raise _Broken
    at += 2 if new else 1
    flags = _number(data, at)
    at += 4 + (4 if flags & _FILTER else 0) + (12 if new else 8)
    if flags & _FILTER:
        raise _Broken
    size = data[at]
    name = data[at + 1 : at + 1 + size]
    at += 1 + size + 4
    if flags & _EXTRA:
        at += 4 + _number(data, at) + 4
    return name, flags, at


def _blocks(data: bytes, at: int, flags: int, out: bytearray, meter: Meter) -> int:
    """Every block put behind ``out``; returns the offset behind the end mark."""
    while plain := _number(data, at):
        packed = _number(data, at + 4)
        at += 8
        if plain > _BLOCK or packed > plain:
            raise _Broken
        sums = bool(flags & _ADLER_PLAIN) + bool(flags & _CRC_PLAIN)
        expected = _number(data, at) if sums else None
        at += 4 * sums
        if packed < plain:
            at += 4 * (bool(flags & _ADLER_PACKED) + bool(flags & _CRC_PACKED))
        meter.take(plain)
        block = data[at : at + packed]
        before = len(out)
        if packed == plain:
            out += block
        else:
            _sequences(block, out, before + plain)
        meter.budget.check_time()
        checksum = zlib.adler32 if flags & _ADLER_PLAIN else zlib.crc32
        made = out[before:]
        if len(made) < plain or (expected is not None and checksum(made) != expected):
            raise _Broken
        at += packed
    return at + 4


def _sequences(block: bytes, out: bytearray, ceiling: int) -> None:
    """LZO1X: literals, and repetitions of what was made since the block began."""
    floor, at = len(out), 0
    # How many literals came last, 0 to 3, or 4 for more: it tells what a small number means.
    state = 0
    if block[0] > 17:
        state = min(block[0] - 17, 4)
        at = 1 + block[0] - 17
        out += block[1:at]
    while True:
        token = block[at]
        at += 1
        if token < 16 and not state:
            count, at = _length(block, at, token, 15)
            count += 3
            out += block[at : at + count]
            at += count
            state = 4
        else:
            length, distance, state, at = _repetition(block, at, token, state)
            if not distance:
                return
            if len(out) - distance < floor:
                raise _Broken
            if len(out) + length > ceiling:
                raise _Broken
            repeat(out, distance, length)
            out += block[at : at + state]
            at += state
        if len(out) > ceiling or at > len(block):
            raise _Broken


def _repetition(block: bytes, at: int, token: int, state: int) -> tuple[int, int, int, int]:
    """Length, distance (0 at the end of the stream), literals that follow, offset behind it."""
    if token >= 64:
        length = (token >> 5) + 1
        return length, (block[at] << 3) + (token >> 2 & 7) + 1, token & 3, at + 1
    if token < 16:
        distance = (block[at] << 2) + (token >> 2) + 1
        if state == 4:
            return 3, distance + 2048, token & 3, at + 1
        return 2, distance, token & 3, at + 1
    long = token < 32
    length, at = _length(block, at, token & (7 if long else 31), 7 if long else 31)
    low = block[at] | block[at + 1] << 8
    distance = (low >> 2) + (16384 + ((token & 8) << 11) if long else 1)
    return length + 2, 0 if distance == 16384 else distance, low & 3, at + 2


def _length(block: bytes, at: int, length: int, most: int) -> tuple[int, int]:
    """A length that, where it is 0, goes on in the bytes that follow for as long as those are 0."""
    if length:
        return length, at
    while not block[at]:
        most += 255
        at += 1
    return most + block[at], at + 1
