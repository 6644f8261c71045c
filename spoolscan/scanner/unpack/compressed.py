"""Single files compressed: gzip (RFC 1952), zlib (RFC 1950), bzip2, xz, lzma (the .lzma of old),
lzip, LZ4, lzop, Snappy, compress (.Z), pack (.z), both kinds of MS-DOS compress, and ActiveMime.

Streams that follow one another are one file, as their own programs read them.  What stands behind
the last one, zeros apart, is a member of its own.  Broken streams give what came before the break,
and a doubt.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from spoolscan.scanner.bounds import Budget
from spoolscan.scanner.unpack.kwaj import is_kwaj, kwaj
from spoolscan.scanner.unpack.lz4 import is_lz4, lz4
from spoolscan.scanner.unpack.lzo import is_lzop, lzop
from spoolscan.scanner.unpack.lzss import is_szdd, szdd
from spoolscan.scanner.unpack.lzw import compress, is_compress
from spoolscan.scanner.unpack.meter import LZMA_MEMORY, Meter, Stream, expand, inflate
from spoolscan.scanner.unpack.pack import is_pack, pack
from spoolscan.scanner.unpack.seam import Member, text
from spoolscan.scanner.unpack.snappy import is_snappy, snappy
from spoolscan.verdict import Cause, Doubt

_ZLIB_LEAST: Final = 16  # bytes; fewer hold nothing that could do harm
_ZLIB_TRIED: Final = 512
_Name = bytes
_Opener = Callable[[bytes, int, Meter], tuple[_Name, Stream]]


@dataclass(frozen=True, slots=True)
class Compressed:
    """One format; ``stream`` reads a single stream at an offset."""

    name: str
    magic: Callable[[bytes, int], bool]
    stream: _Opener

    def recognises(self, data: bytes) -> bool:
        return self.magic(data, 0)

    def members(self, data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
        meter = Meter(budget, len(data))
        meter.member()
        pieces: list[bytes] = []
        first, at, whole = b"", 0, True
        while whole and self.magic(data, at):
            name, stream = self.stream(data, at, meter)
            first = first or name
            pieces.append(stream.data)
            at, whole = stream.end, stream.whole
        yield Member(text(first), b"".join(pieces))
        if not whole:
            yield Doubt(Cause.UNREADABLE, f"{self.name} stream is broken or cut short")
        elif rest := data[at:].strip(b"\0"):
            meter.member()
            meter.take(len(rest))
            yield Member("", rest)


def _is_gzip(data: bytes, at: int) -> bool:
    return data.startswith(b"\x1f\x8b\x08", at)


def _gzip(data: bytes, at: int, meter: Meter) -> tuple[_Name, Stream]:
    """The header by hand: a wrong checksum must not cost us what was unpacked."""
    flags = data[at + 3] if len(data) > at + 3 else 0
    start, name = at + 10, b""
    if flags & 4:
        start += 2 + int.from_bytes(data[start : start + 2], "little")
    if flags & 8:
        end = data.find(b"\0", start)
        name, start = data[start:end], (end + 1 if end >= 0 else len(data))
    if flags & 16:
        end = data.find(b"\0", start)
        start = end + 1 if end >= 0 else len(data)
    if flags & 2:
        start += 2
    stream = inflate(data, min(start, len(data)), len(data), meter)
    if not stream.whole:
        return name, stream
    trailer = data[stream.end : stream.end + 8]
    right = trailer == struct.pack("<LL", zlib.crc32(stream.data), len(stream.data) % 2**32)
    return name, Stream(stream.data, stream.end + 8, right)


def _is_zlib(data: bytes, at: int) -> bool:
    """A right header, which is two bytes and could be anything's, before what can be inflated."""
    header = data[at : at + 2]
    if header[:1] != b"\x78" or int.from_bytes(header) % 31 or len(data) - at < _ZLIB_LEAST:
        return False
    if header[1] & 0x20:  # a dictionary that we do not have
        return False
    try:
        zlib.decompressobj().decompress(data[at : at + _ZLIB_TRIED], 1 << 16)
    except zlib.error:
        return False
    return True


def _zlib(data: bytes, at: int, meter: Meter) -> tuple[_Name, Stream]:
    stream = inflate(data, at + 2, len(data), meter)
    right = data[stream.end : stream.end + 4] == zlib.adler32(stream.data).to_bytes(4)
    return b"", Stream(stream.data, stream.end + 4, stream.whole and right)


def _is_bzip2(data: bytes, at: int) -> bool:
    return data.startswith(b"BZh", at) and data[at + 4 : at + 10] in {
        b"1AY&SY",
        b"\x17\x72\x45\x38\x50\x90",
    }


def _bzip2(data: bytes, at: int, meter: Meter) -> tuple[_Name, Stream]:
    return b"", expand(bz2.BZ2Decompressor(), data, at, len(data), meter)


def _is_xz(data: bytes, at: int) -> bool:
    return data.startswith(b"\xfd7zXZ\0", at)


def _xz(data: bytes, at: int, meter: Meter) -> tuple[_Name, Stream]:
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=LZMA_MEMORY)
    stream = expand(decoder, data, at, len(data), meter)
    end = stream.end
    while data.startswith(b"\0\0\0\0", end):
        end += 4
    return b"", Stream(stream.data, end, stream.whole)


def _is_lzma(data: bytes, at: int) -> bool:
    """The usual properties, a dictionary of a usual size, and a length that is unknown or sane."""
    header = data[at : at + 13]
    if len(header) < 13 or header[0] != 0x5D or header[1:3] != b"\0\0":
        return False
    size = int.from_bytes(header[5:], "little")
    return size == 2**64 - 1 or size < 2**38


def _lzma(data: bytes, at: int, meter: Meter) -> tuple[_Name, Stream]:
    decoder = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=LZMA_MEMORY)
    return b"", expand(decoder, data, at, len(data), meter)


def _is_lzip(data: bytes, at: int) -> bool:
    return data.startswith(b"LZIP", at)


def _lzip(data: bytes, at: int, meter: Meter) -> tuple[_Name, Stream]:
    """A member (lzip manual, "File format"): LZMA with an end mark, then checksum and sizes."""
    version, coded = data[at + 4 : at + 5], data[at + 5] if len(data) > at + 5 else 0
    if version not in {b"\0", b"\1"}:
        return b"", Stream(b"", len(data), whole=False)
    size = 1 << (coded & 31)
    dictionary = size - size // 16 * (coded >> 5)
    alone = b"\x5d" + struct.pack("<LQ", dictionary & 0xFFFFFFFF, 2**64 - 1) + data[at + 6 :]
    decoder = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=LZMA_MEMORY)
    stream = expand(decoder, alone, 0, len(alone), meter)
    if not stream.whole:
        return b"", stream
    end = at + 6 + stream.end - 13
    right = data[end : end + 12] == struct.pack("<LQ", zlib.crc32(stream.data), len(stream.data))
    return b"", Stream(stream.data, end + (20 if version == b"\1" else 12), right)


def _is_activemime(data: bytes, at: int) -> bool:
    return data.startswith(b"ActiveMime\0", at)


def _activemime(data: bytes, at: int, meter: Meter) -> tuple[_Name, Stream]:
    """The macros of an Office document saved as a web page: a header, then zlib (RFC 1950)."""
    found = data.find(b"\x78", at + 32)
    start = len(data) if found < 0 else found + 2
    stream = inflate(data, min(start, len(data)), len(data), meter)
    return b"", Stream(stream.data, len(data), stream.whole)


GZIP: Final = Compressed("gzip", _is_gzip, _gzip)
ZLIB: Final = Compressed("zlib", _is_zlib, _zlib)
BZIP2: Final = Compressed("bzip2", _is_bzip2, _bzip2)
XZ: Final = Compressed("xz", _is_xz, _xz)
ACTIVEMIME: Final = Compressed("ActiveMime", _is_activemime, _activemime)
LZIP: Final = Compressed("lzip", _is_lzip, _lzip)
LZ4: Final = Compressed("LZ4", is_lz4, lz4)
COMPRESS: Final = Compressed("compress", is_compress, compress)
LZOP: Final = Compressed("lzop", is_lzop, lzop)
SNAPPY: Final = Compressed("Snappy", is_snappy, snappy)
PACK: Final = Compressed("pack", is_pack, pack)
KWAJ: Final = Compressed("KWAJ", is_kwaj, kwaj)
SZDD: Final = Compressed("SZDD", is_szdd, szdd)
LZMA: Final = Compressed("lzma", _is_lzma, _lzma)
