"""Zip archives (PKWARE APPNOTE 6.3.10), and the documents and packages that are zips.

Programs disagree on what a zip holds: some believe the central directory, some the local headers,
some only the last of several directories.  Here all of them are believed: every entry of either
view is opened in each way it is described, and where the two contradict, that is a doubt too.
Junk before, between and after is no obstacle, nor is a missing directory.  Method and size are
taken for a claim: what does not fit its checksum is also tried by the other methods.

Opens stored, deflate, bzip2, lzma and xz, Zstandard where its package is installed, and the
methods left where 7-Zip is (`zipalone`).  Encrypted members are opened where a password is known
(`ziplock`), else doubts of their own; a member that cannot be opened still gives its name.  Never
raises but LimitReached; each header costs a fixed amount of work, and all input read for a member
counts against the bounds.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from spoolscan.scanner.bounds import Budget
from spoolscan.scanner.unpack import zipalone, ziplock, zstd
from spoolscan.scanner.unpack.meter import LZMA_MEMORY, Meter, Stream, expand, inflate
from spoolscan.scanner.unpack.seam import Member, unlocked
from spoolscan.scanner.unpack.zipheaders import TRACE, Entry, Place, is_split, is_zip, places
from spoolscan.verdict import Cause, Doubt

_STORED, _DEFLATED, _BZIP2, _LZMA, _XZ, _AES = 0, 8, 12, 14, 95, 99
_LOCKED: Final = Doubt(Cause.ENCRYPTED, "zip member is encrypted")
_MANIFEST: Final = "META-INF/manifest.xml"  # of an OpenDocument, whose other members it may lock
_ZSTD: Final = (20, 93)
_SMALLEST: Final = 30 + 46 + 22  # bytes of an archive with one empty member
_METHODS: Final = {
    1: "shrink", 2: "reduce", 3: "reduce", 4: "reduce", 5: "reduce", 6: "implode", 9: "deflate64",
    10: "implode", 16: "cmpsc", 18: "terse", 19: "lz77", 20: "zstd", 93: "zstd", 94: "mp3",
    96: "jpeg", 97: "wavpack", 98: "ppmd",
}  # fmt: skip


class Zip:
    """See the module."""

    name = "zip"
    trace = TRACE

    def recognises(self, data: bytes) -> bool:
        return is_zip(data)

    def members(self, data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
        meter = Meter(budget, len(data))
        if is_split(data):
            yield Doubt(Cause.UNREADABLE, "one volume of a split zip")
        seen = data.startswith(b"PK\5\6") and len(data) < _SMALLEST
        for place in places(data, budget):
            seen = True
            yield from _open(data, place, meter)
        if not seen:
            yield Doubt(Cause.UNREADABLE, "zip holds nothing that can be read")


def _open(data: bytes, place: Place, meter: Meter) -> Iterator[Member | Doubt]:
    """One place in every description of it."""
    if place.contradicts:
        yield Doubt(Cause.AMBIGUOUS, "zip directory and header describe different members")
    contents: dict[bytes, None] = {}
    tried: set[tuple[int, int, bool]] = set()
    for entry in place.entries:
        key = (entry.method, entry.packed, entry.encrypted)
        if key in tried:
            continue
        tried.add(key)
        content = _content(data, place, entry, meter)
        if isinstance(content, Doubt):
            yield content
        elif isinstance(content, ziplock.Opened):
            yield unlocked("zip member", content.key)
            contents[content.data] = None
        else:
            if not content.whole:
                yield Doubt(Cause.UNREADABLE, "zip member is broken or cut short")
            contents[content.data] = None
    if _MANIFEST in place.names and any(b":encryption-data" in content for content in contents):
        yield Doubt(Cause.ENCRYPTED, "document is encrypted")
    for number, name in enumerate(place.names):
        if name.endswith(("/", "\\")) and not any(contents):
            continue
        for content_data in contents or {b"": None}:
            meter.member()
            meter.take(len(content_data) if number else 0)  # it will be looked into once more
            yield Member(name, content_data, opened=bool(contents))


def _content(
    data: bytes, place: Place, entry: Entry, meter: Meter
) -> Stream | ziplock.Opened | Doubt:
    """The member as described, or, where that is not what its checksum says, as it really is."""
    stop = min(len(data), place.start + entry.packed) if entry.packed else place.stop
    if entry.encrypted or entry.method == _AES:
        return ziplock.opened(data[place.start : stop], entry, meter) or _LOCKED
    packed = _Packed(data, place.start, stop, entry)
    first = packed.by(entry.method, meter)
    if first is not None and first.whole and _fits(first.data, entry):
        return first
    if not entry.packed and not entry.sizes_follow and not entry.checked:
        return Stream(b"", place.start, whole=True)  # an empty file, whatever its method
    for method in (_DEFLATED, _STORED):
        if method != entry.method:
            other = packed.by(method, meter)
            if other is not None and other.whole and entry.crc and _fits(other.data, entry):
                return other
    if first is None:
        method_name = _METHODS.get(entry.method, f"method {entry.method}")
        return Doubt(Cause.UNOPENED, f"zip members packed with {method_name} are not opened")
    return Stream(first.data, first.end, whole=False)


def _fits(content: bytes, entry: Entry) -> bool:
    """Whether the checksum is right, where one is given."""
    return not entry.checked or zlib.crc32(content) == entry.crc


@dataclass(frozen=True, slots=True)
class _Packed:
    """A member's bytes as they lie in the archive, from ``start`` to ``stop``."""

    data: bytes
    start: int
    stop: int
    entry: Entry

    def by(self, method: int, meter: Meter) -> Stream | None:
        """Unpacked by one method; None for a method that is not ours."""
        if method == _STORED:
            meter.take(max(0, self.stop - self.start))
            whole = self.stop - self.start >= self.entry.packed
            return Stream(self.data[self.start : self.stop], self.stop, whole)
        if method == _DEFLATED:
            return inflate(self.data, self.start, self.stop, meter)
        if method == _LZMA:
            return self._lzma(meter)
        if method in _ZSTD:
            return zstd.frame(self.data, self.start, self.stop, meter)
        return self._expanded(method, meter) or self._borrowed(method, meter)

    def _expanded(self, method: int, meter: Meter) -> Stream | None:
        decoder: bz2.BZ2Decompressor | lzma.LZMADecompressor
        if method == _BZIP2:
            decoder = bz2.BZ2Decompressor()
        elif method == _XZ:
            decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=LZMA_MEMORY)
        else:
            return None
        return expand(decoder, self.data, self.start, self.stop, meter)

    def _borrowed(self, method: int, meter: Meter) -> Stream | None:
        """By 7-Zip, which must be told where the member ends."""
        if not self.entry.packed or method not in _METHODS:
            return None
        return zipalone.unpack(self.data[self.start : self.stop], self.entry, method, meter)

    def _lzma(self, meter: Meter) -> Stream:
        """Method 14 (APPNOTE 5.8): version, length of properties, properties, then the stream."""
        start = self.start + 4
        properties = self.data[start : start + 5]
        if len(properties) < 5 or self.data[start - 2 : start] != b"\5\0":
            return Stream(b"", self.stop, whole=False)
        unknown = self.entry.flags & 2 or not self.entry.checked
        size = 2**64 - 1 if unknown else self.entry.size
        alone = properties + size.to_bytes(8, "little") + self.data[start + 5 : self.stop]
        decoder = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=LZMA_MEMORY)
        stream = expand(decoder, alone, 0, len(alone), meter)
        return Stream(stream.data, self.stop, stream.whole)
