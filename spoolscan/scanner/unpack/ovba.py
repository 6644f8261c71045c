"""The source of VBA macros, as their modules keep it compressed ([MS-OVBA] section 2.4.1)."""

from __future__ import annotations

import re
import struct
from typing import Final

from spoolscan.scanner.unpack.meter import Meter

# Every module's source begins with "Attribute VB_Name", of which eight letters are literal.
_MODULE: Final = re.compile(rb"(?s)\x01..\x00Attribut")
_CHUNK: Final = 4096


def source(stream: bytes, meter: Meter) -> bytes:
    """The source in a module's stream; b"" where there is none.  Raises LimitReached."""
    start = _MODULE.search(stream)
    return b"" if start is None else _expand(stream, start.start() + 1, meter)


def _expand(packed: bytes, at: int, meter: Meter) -> bytes:
    pieces: list[bytes] = []
    while at + 2 <= len(packed):
        header = struct.unpack_from("<H", packed, at)[0]
        if header >> 12 & 7 != 3:
            break
        stop = min(len(packed), at + (header & 0x0FFF) + 3)
        chunk = packed[at + 2 : stop]
        piece = _expand_chunk(chunk) if header & 0x8000 else chunk[:_CHUNK]
        meter.take(len(piece))
        meter.budget.check_time()
        pieces.append(piece)
        at = stop
    return b"".join(pieces)


def _expand_chunk(chunk: bytes) -> bytes:
    """Groups of eight: a byte as it is, or two bytes that point back into the same chunk."""
    plain = bytearray()
    at = 0
    while at < len(chunk) and len(plain) < _CHUNK:
        flags = chunk[at]
        at += 1
        for bit in range(8):
            if at >= len(chunk):
                break
            if not flags >> bit & 1:
                plain.append(chunk[at])
                at += 1
                continue
            token = int.from_bytes(chunk[at : at + 2], "little")
            at += 2
            bits = max(4, (len(plain) - 1).bit_length())
            distance = (token >> (16 - bits)) + 1
            if distance > len(plain):
                return bytes(plain)
            length = (token & (0xFFFF >> bits)) + 3
            copied = plain[-distance:]
            plain += (copied * (length // distance + 1))[:length]
    return bytes(plain[:_CHUNK])
