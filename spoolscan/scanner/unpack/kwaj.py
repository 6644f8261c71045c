"""KWAJ, the later MS-DOS compress: as it is, turned about, LZSS, LZ with Huffman codes, or MSZIP.

For the table in `compressed`.  As libmspack documents the format: doc/szdd_kwaj_format.
"""

from __future__ import annotations

import zlib
from typing import Final

from spoolscan.scanner.unpack.huffman import Bits, EndOfBits, canonical, is_complete
from spoolscan.scanner.unpack.lzss import expand
from spoolscan.scanner.unpack.meter import Meter, Stream, repeat

_MAGIC: Final = b"KWAJ\x88\xf0\x27\xd1"
_STORED, _TURNED, _LZSS, _LZH, _MSZIP = range(5)
_SIZE, _TWO_BYTES, _FIELD, _NAME, _ENDING = 1, 2, 4, 8, 16  # what follows the header
_TURN: Final = bytes(byte ^ 0xFF for byte in range(256))
_HEAD: Final = 14  # bytes of the header that are always there
_WINDOW: Final = 4096
_MSZIP_WINDOW: Final = 1 << 15
_MSZIP_BLOCK: Final = 1 << 15
# Symbols of: lengths, lengths after literals, runs of literals, distances, literals.
_CODES: Final = (16, 16, 32, 64, 256)
_LOOK: Final = 4096  # bytes between two looks at the bounds


def is_kwaj(data: bytes, at: int) -> bool:
    return data.startswith(_MAGIC, at)


def kwaj(data: bytes, at: int, meter: Meter) -> tuple[bytes, Stream]:
    """The one stream of the file; ``whole`` as far as its header tells.  Raises LimitReached."""
    method, start, flags = (
        int.from_bytes(data[at + place : at + place + 2], "little") for place in (8, 10, 12)
    )
    name, wanted = _header(data, at + _HEAD, flags)
    content, whole = b"", False
    if _HEAD <= start <= len(data) - at:
        content, whole = _content(data, at + start, method, meter)
    if wanted is not None:
        whole = whole and len(content) >= wanted
    return name, Stream(content, len(data), whole)


def _header(data: bytes, at: int, flags: int) -> tuple[bytes, int | None]:
    """The name, and how long the content is to be where that is told."""
    wanted = None
    if flags & _SIZE:
        wanted = int.from_bytes(data[at : at + 4], "little")
        at += 4
    if flags & _TWO_BYTES:
        at += 2
    if flags & _FIELD:
        at += 2 + int.from_bytes(data[at : at + 2], "little")
    name = b""
    for flag, most, mark in ((_NAME, 9, b""), (_ENDING, 4, b".")):
        if flags & flag:
            piece = data[at : at + most].partition(b"\0")[0]
            name += mark + piece
            at += min(most, len(piece) + 1)
    return name, wanted


def _content(data: bytes, at: int, method: int, meter: Meter) -> tuple[bytes, bool]:
    """What is packed from ``at`` on, and whether it is all there."""
    if method in {_STORED, _TURNED}:
        meter.take(len(data) - at)
        plain = data[at:]
        return plain.translate(_TURN) if method == _TURNED else plain, True
    if method == _LZSS:
        return expand(data, at, 18, None, meter), True
    if method == _LZH:
        return _lzh(data, at, meter)
    return _mszip(data, at, meter) if method == _MSZIP else (b"", False)


def _lzh(data: bytes, at: int, meter: Meter) -> tuple[bytes, bool]:
    """Five codes, then lengths and distances, or runs of literals.  It ends where the file does."""
    bits = Bits(data, at)
    out = bytearray(b" " * _WINDOW)
    counted = len(out)
    whole = complete = False
    try:
        kinds = [bits.take(4) for _ in range(6)]
        lengths = [_lengths(bits, *pair) for pair in zip(kinds, _CODES, strict=False)]
        complete = all(map(is_complete, lengths))
        codes = [canonical(its) for its in lengths]
        after_literals = False
        while True:
            length = codes[1 if after_literals else 0].read(bits)
            if length:
                distance = (codes[3].read(bits) or 0) << 6
                distance |= bits.take(6)
                repeat(out, distance or _WINDOW, length + 2)
                after_literals = False
            elif length is None or (run := codes[2].read(bits)) is None:
                break
            else:
                after_literals = run != 31
                for _ in range(run + 1):
                    literal = codes[4].read(bits)
                    if literal is None:
                        raise EndOfBits
                    out.append(literal)
            if len(out) - counted > _LOOK:
                meter.take(len(out) - counted)
                meter.budget.check_time()
                counted = len(out)
    except EndOfBits:
        whole = len(out) > _WINDOW and complete
    meter.take(len(out) - counted)
    return bytes(out[_WINDOW:]), whole


def _lengths(bits: Bits, kind: int, count: int) -> list[int]:
    """The lengths of a code's symbols, written in one of four ways.  Raises EndOfBits."""
    if kind == 0:
        return [count.bit_length() - 1] * count
    if kind == 3:
        return [bits.take(4) for _ in range(count)]
    lengths = [bits.take(4)] if kind in {1, 2} else []
    while lengths and len(lengths) < count:
        length = lengths[-1]
        if kind == 1:
            if bits.take(1):
                length = bits.take(4) if bits.take(1) else length + 1
        else:
            step = bits.take(2)
            length = bits.take(4) if step == 3 else length + step - 1
        lengths.append(length & 0xFF)
    return lengths if max(lengths, default=0) <= 16 else []


def _mszip(data: bytes, at: int, meter: Meter) -> tuple[bytes, bool]:
    """Blocks of a size, "CK", and deflate, which may repeat what earlier blocks gave."""
    out = bytearray()
    while size := int.from_bytes(data[at : at + 2], "little"):
        block = data[at + 2 : at + 2 + size]
        if not block.startswith(b"CK"):
            return bytes(out), False
        decoder = zlib.decompressobj(-zlib.MAX_WBITS, zdict=bytes(out[-_MSZIP_WINDOW:]))
        try:
            piece = decoder.decompress(block[2:], _MSZIP_BLOCK)
        except zlib.error:
            return bytes(out), False
        meter.take(len(piece))
        meter.budget.check_time()
        out += piece
        at += 2 + size
    return bytes(out), at + 2 <= len(data)
