"""LZ4 frames (LZ4 Frame Format 1.6) and the legacy frames of before, read by our own code.

For the table in `compressed`.  A block makes at most 8 MiB before the bounds are looked at.
"""

from __future__ import annotations

from typing import Final

from spoolscan.scanner.unpack.meter import Meter, Stream, repeat

_FRAME: Final = b"\x04\x22\x4d\x18"
_LEGACY: Final = b"\x02\x21\x4c\x18"
_BLOCK: Final = {4: 1 << 16, 5: 1 << 18, 6: 1 << 20, 7: 1 << 22}  # bytes, by the header's word
_LEGACY_BLOCK: Final = 1 << 23
_WINDOW: Final = 1 << 16


class _Broken(Exception):
    """A block that contradicts itself."""


def is_lz4(data: bytes, at: int) -> bool:
    return data.startswith((_FRAME, _LEGACY), at)


def lz4(data: bytes, at: int, meter: Meter) -> tuple[bytes, Stream]:
    """One frame at ``at``; frames have no name.  Raises LimitReached."""
    out = bytearray()
    try:
        read = _legacy if data.startswith(_LEGACY, at) else _frame
        end = read(data, at + 4, out, meter)
    except (_Broken, IndexError):
        return b"", Stream(bytes(out), len(data), whole=False)
    return b"", Stream(bytes(out), end, whole=True)


def _frame(data: bytes, at: int, out: bytearray, meter: Meter) -> int:
    flags, most = data[at], _BLOCK.get(data[at + 1] >> 4 & 7, 0)
    at += 3 + (8 if flags & 8 else 0) + (4 if flags & 1 else 0)
    linked = not flags & 0x20
    while size := _size(data, at):
        at += 4
        plain, size = size >> 31, size & 0x7FFFFFFF
        block = data[at : at + size]
        if plain:
            meter.take(len(block))
            out += block
        else:
            _block(block, out, max(0, len(out) - _WINDOW) if linked else len(out), most, meter)
        if len(block) < size:
            raise _Broken
        at += size + (4 if flags & 0x10 else 0)
    end = at + 4 + (4 if flags & 4 else 0)
    if end > len(data):
        raise _Broken
    return end


def _legacy(data: bytes, at: int, out: bytearray, meter: Meter) -> int:
    """Blocks without an end mark: the next frame, or the end of the file, is that."""
    while at < len(data) and not is_lz4(data, at):
        size = _size(data, at)
        block = data[at + 4 : at + 4 + size]
        _block(block, out, len(out), _LEGACY_BLOCK, meter)
        if len(block) < size:
            raise _Broken
        at += 4 + size
    return at


def _size(data: bytes, at: int) -> int:
    if at + 4 > len(data):
        raise _Broken
    return int.from_bytes(data[at : at + 4], "little")


def _block(block: bytes, out: bytearray, floor: int, most: int, meter: Meter) -> None:
    """One block's sequences put behind ``out``, which they may repeat from ``floor`` on."""
    before = len(out)
    try:
        _sequences(block, out, floor, before + most)
    finally:
        meter.take(len(out) - before)
        meter.budget.check_time()


def _sequences(block: bytes, out: bytearray, floor: int, ceiling: int) -> None:
    at = 0
    while True:
        token = block[at]
        literals, at = _length(block, at + 1, token >> 4)
        if len(out) + literals > ceiling:
            raise _Broken
        out += block[at : at + literals]
        at += literals
        if at >= len(block):
            if at > len(block):
                raise _Broken
            return
        distance = block[at] | block[at + 1] << 8
        length, at = _length(block, at + 2, token & 15)
        length += 4
        start = len(out) - distance
        if not distance or start < floor or len(out) + length > ceiling:
            raise _Broken
        repeat(out, distance, length)


def _length(block: bytes, at: int, length: int) -> tuple[int, int]:
    """A length that goes on in the bytes that follow for as long as they are 255."""
    if length == 15:
        while (more := block[at]) == 255:
            length += 255
            at += 1
        length += more
        at += 1
    return length, at
