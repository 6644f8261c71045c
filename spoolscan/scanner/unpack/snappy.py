"""Snappy frames (google/snappy, framing_format.txt and format_description.txt).

For the table in `compressed`.  A chunk makes 64 KiB at most.
"""

from __future__ import annotations

from typing import Final

from spoolscan.scanner.unpack.meter import Meter, Stream, repeat

_MAGIC: Final = b"\xff\x06\0\0sNaPpY"
_PACKED, _PLAIN, _RESERVED, _STREAM = 0, 1, 0x80, 0xFF
_CHUNK: Final = 1 << 16  # bytes, unpacked
_EACH: Final = 96  # bytes that a repetition costs beside what it makes, in time


class _Broken(Exception):
    """A chunk that contradicts itself."""


def is_snappy(data: bytes, at: int) -> bool:
    return data.startswith(_MAGIC, at)


def snappy(data: bytes, at: int, meter: Meter) -> tuple[bytes, Stream]:
    """All chunks from ``at`` to the end of the file.  Raises LimitReached."""
    out = bytearray()
    try:
        while at < len(data):
            kind, size = data[at], int.from_bytes(data[at + 1 : at + 4], "little")
            at += 4 + size
            if at > len(data):
                raise _Broken
            if kind in {_PACKED, _PLAIN}:
                _chunk(kind, data[at - size + 4 : at], out, meter)
            elif kind < _RESERVED:
                raise _Broken
    except (_Broken, IndexError):
        return b"", Stream(bytes(out), len(data), whole=False)
    return b"", Stream(bytes(out), at, whole=True)


def _chunk(kind: int, block: bytes, out: bytearray, meter: Meter) -> None:
    before = len(out)
    try:
        if kind == _PLAIN:
            out += block
        else:
            meter.budget.take_bytes(_EACH * _sequences(block, out))
    finally:
        meter.take(len(out) - before)
        meter.budget.check_time()


def _sequences(block: bytes, out: bytearray) -> int:
    """Literals, and repetitions with offsets of one, two or four bytes, behind the size.

    Returns how many there are.
    """
    wanted = at = 0
    while block[at] & 0x80:
        wanted |= (block[at] & 0x7F) << 7 * at
        at += 1
    wanted |= block[at] << 7 * at
    at += 1
    if wanted > _CHUNK:
        raise _Broken
    floor, count = len(out), 0
    while at < len(block):
        count += 1
        token = block[at]
        at += 1
        size = (token >> 2) + 1
        distance = 0
        if token & 3 == 0:
            if size > 60:
                width = size - 60
                size = int.from_bytes(block[at : at + width], "little") + 1
                at += width
        elif token & 3 == 1:
            size = (token >> 2 & 7) + 4
            distance = (token >> 5) << 8 | block[at]
            at += 1
        else:
            width = 2 if token & 3 == 2 else 4
            distance = int.from_bytes(block[at : at + width], "little")
            at += width
        if len(out) - floor + size > wanted:
            raise _Broken
        if token & 3 == 0:
            out += block[at : at + size]
            at += size
        elif 0 < distance <= len(out) - floor:
            repeat(out, distance, size)
        else:
            raise _Broken
    if len(out) - floor != wanted:
        raise _Broken
    return count
