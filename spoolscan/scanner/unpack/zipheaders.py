"""The headers of a zip archive: where members may lie, as either view of the archive says.

A `Place` is one offset at which a local header stands, with every description of it: its own, and
those of the central directory entries that point there.  Directories are found by the signature
of their entries, so that one of several, or one without an end record, counts as well.
"""

from __future__ import annotations

import dataclasses
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from spoolscan.scanner.bounds import Budget, LimitReached
from spoolscan.scanner.content import is_tar

_LOCAL: Final = struct.Struct("<4s5HLLLHH")
_CENTRAL: Final = struct.Struct("<4s6HLLLHHHHHLL")
_END: Final = struct.Struct("<4s4HLLH")
_AES: Final = 0x9901
_MANY: Final = 0xFFFFFFFF  # the value stands in the zip64 field
_SIGNATURE: Final = re.compile(rb"PK(?:\x07\x08|\x03\x04|\x01\x02|\x05\x06|\x06\x06)")
# Version needed below 10.1, a method that has been given out.
_HEADER: Final = re.compile(rb"(?s)PK\x03\x04[\x00-\x64]...[\x00-\x63]\x00")
TRACE: Final = rb"PK(?:\x01\x02|\x03\x04|\x05\x06|\x06\x06|\x07\x08|00PK)"
_OTHERS: Final = (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"\x78\x9f\x3e\x22")  # OLE, TNEF
_BEGINNINGS: Final = (b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\6\6", b"PK\7\x08", b"PK00PK")


@dataclass(frozen=True, slots=True)
class Entry:
    """One description of a member: sizes in bytes, ``packed`` 0 where it is not known."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    other_names: tuple[bytes, ...] = ()
    time: int = field(default=0, compare=False)  # of day, as MS-DOS writes it
    aes: bytes = field(default=b"", compare=False)  # what AE-x says (WinZip, "AES Encryption")

    @property
    def encrypted(self) -> bool:
        return bool(self.flags & 1)

    @property
    def sizes_follow(self) -> bool:
        """Whether checksum and sizes stand behind the data."""
        return bool(self.flags & 8)

    @property
    def checked(self) -> bool:
        """Whether a checksum was known when this was written."""
        return bool(self.crc or self.size)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a member's data starts, where it stops if no size is known, and what is said of it."""

    start: int
    stop: int
    entries: tuple[Entry, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every name, each once."""
        names: dict[str, None] = {}
        for entry in self.entries:
            names[_text(entry.name)] = None
            names.update({_text(name): None for name in entry.other_names})
        return tuple(names)

    @property
    def contradicts(self) -> bool:
        """Whether the descriptions differ in what a program would unpack."""
        first = self.entries[0]
        names = {first.name, *first.other_names}
        return any(
            (entry.method, entry.encrypted, entry.packed)
            != (first.method, first.encrypted, first.packed)
            or names.isdisjoint({entry.name, *entry.other_names})
            for entry in self.entries
        )


def is_zip(data: bytes) -> bool:
    """Whether this begins or ends as a zip, or a local header stands anywhere in it.

    In a container that others open member by member it must end as a zip too: what stands inside
    comes out whole in its turn, and may lie here in pieces.
    """
    if data.startswith(_BEGINNINGS) or is_split(data):
        return True
    if data.startswith(_OTHERS) or is_tar(data):
        return _ends(data)
    return _next(data, 0) >= 0 or (b"PK\1\2" in data and _ends(data))


def _ends(data: bytes) -> bool:
    """Whether an end record and its comment are the last of the bytes."""
    at = data.rfind(b"PK\5\6")
    if at < 0 or len(data) - at < _END.size:
        return False
    return at + _END.size + int(_END.unpack_from(data, at)[7]) == len(data)


def _next(data: bytes, at: int) -> int:
    """Where the next local header stands, or -1."""
    for header in _HEADER.finditer(data, at):
        if _local(data, header.start()) is not None:
            return header.start()
    return -1


def is_split(data: bytes) -> bool:
    """Whether the last end record says that the archive has more than this one volume."""
    at = data.rfind(b"PK\5\6")
    if at < 0 or len(data) - at < _END.size:
        return False
    return any(0 < disk < 0xFFFF for disk in struct.unpack_from("<HH", data, at + 4))


def places(data: bytes, budget: Budget) -> Iterator[Place]:
    """Every place a member may lie at, in order.  Raises LimitReached."""
    directory: dict[int, list[Entry]] = {}
    for entry in _directory(data, budget):
        directory.setdefault(entry.offset, []).append(entry)
    at = _next(data, 0)
    while at >= 0:
        budget.check_time()
        place = _place(data, at, directory.pop(at, []))
        yield place
        at = _next(data, _behind(data, place))
    for offset in sorted(directory):
        yield _place(data, offset, directory[offset])


def _behind(data: bytes, place: Place) -> int:
    """Where to look for the next header: behind the member if one stands there."""
    for entry in place.entries:
        end = place.start + entry.packed
        if entry.packed and data.startswith(b"PK", end):
            return end
        if entry.packed and _SIGNATURE.match(data, end + 12):
            return end
    return place.start


def _place(data: bytes, at: int, listed: list[Entry]) -> Place:
    """Sizes a local header does not know yet are those of the directory."""
    local = _local(data, at)
    if local is None:
        return Place(len(data), len(data), tuple(listed))
    name_size, extra_size = struct.unpack_from("<HH", data, at + 26)
    start = at + _LOCAL.size + name_size + extra_size
    if local.sizes_follow and listed and not local.packed:
        known = listed[0]
        local = dataclasses.replace(local, crc=known.crc, packed=known.packed, size=known.size)
    stop = len(data)  # a compressed stream knows its own end
    if not local.packed and not local.method:
        following = _SIGNATURE.search(data, start)
        stop = stop if following is None else following.start()
    return Place(start, stop, tuple(dict.fromkeys((local, *listed))))


def _local(data: bytes, at: int) -> Entry | None:
    """The local header at ``at``; None where there cannot be one."""
    if len(data) - at < _LOCAL.size or _HEADER.match(data, at) is None:
        return None
    fields = _LOCAL.unpack_from(data, at)
    flags, method, crc, packed, size, name_size, extra_size = *fields[2:4], *fields[6:]
    if len(data) < at + _LOCAL.size + name_size:
        return None
    start = at + _LOCAL.size
    name = data[start : start + name_size]
    extra = data[start + name_size : start + name_size + extra_size]
    size, packed, _, other = _extra(extra, size, packed, 0)
    aes = _field(extra, _AES)
    return Entry(name, flags, method, crc, packed, size, at, other, fields[4], aes)


def _directory(data: bytes, budget: Budget) -> Iterator[Entry]:
    """Every central directory entry, with its offset made absolute."""
    at = data.find(b"PK\1\2")
    shift = end = count = 0
    while at >= 0:
        if at >= end:
            end = data.find(b"PK\5\6", at)
            shift = _shift(data, at, end)
            end = len(data) if end < 0 else end
        entry, behind = _central(data, at, shift)
        if entry is None:
            at = data.find(b"PK\1\2", at + 4)
            continue
        count += 1
        if count > 4 * budget.bounds.parts:
            raise LimitReached(f"zip with more than {count - 1} directory entries")
        yield entry
        at = data.find(b"PK\1\2", behind)


def _shift(data: bytes, first: int, end: int) -> int:
    """How far the archive lies behind its own idea of where it begins."""
    if end < 0 or len(data) - end < _END.size:
        return 0
    stated: int = _END.unpack_from(data, end)[6]
    if stated == _MANY:
        return 0
    return max(0, first - stated)


def _central(data: bytes, at: int, shift: int) -> tuple[Entry | None, int]:
    if len(data) - at < _CENTRAL.size:
        return None, len(data)
    fields = _CENTRAL.unpack_from(data, at)
    flags, method, crc, packed, size = fields[3], fields[4], fields[7], fields[8], fields[9]
    name_size, extra_size, comment_size, offset = fields[10], fields[11], fields[12], fields[16]
    start = at + _CENTRAL.size
    name = data[start : start + name_size]
    extra = data[start + name_size : start + name_size + extra_size]
    size, packed, offset, other = _extra(extra, size, packed, offset)
    if not data.startswith(b"PK\3\4", offset + shift) and data.startswith(b"PK\3\4", offset):
        shift = 0
    aes = _field(extra, _AES)
    entry = Entry(name, flags, method, crc, packed, size, offset + shift, other, fields[5], aes)
    return entry, start + name_size + extra_size + comment_size


def _extra(
    extra: bytes, size: int, packed: int, offset: int
) -> tuple[int, int, int, tuple[bytes, ...]]:
    """Zip64 sizes (field 1) and a name in UTF-8 (field 0x7075, Info-ZIP)."""
    names: list[bytes] = []
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        body, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == 1:
            if size == _MANY:
                size, body = _long(body), body[8:]
            if packed == _MANY:
                packed, body = _long(body), body[8:]
            if offset == _MANY:
                offset = _long(body)
        elif kind == 0x7075 and len(body) > 5:
            names.append(body[5:])
    return size, packed, offset, tuple(names)


def _field(extra: bytes, wanted: int) -> bytes:
    """One field of the extra data, b"" where it is not there."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        if kind == wanted:
            return extra[4 : 4 + length]
        extra = extra[4 + length :]
    return b""


def _long(field: bytes) -> int:
    """Eight bytes, kept small enough to count with as an offset."""
    return min(int.from_bytes(field[:8], "little"), 1 << 48)


def _text(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("cp437")
