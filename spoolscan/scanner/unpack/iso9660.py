"""Disc images: ISO 9660 (ECMA-119) in every one of its trees, with Joliet and Rock Ridge names.

Systems differ in which tree they show: all are read, and a file that two of them name alike comes
once.  A directory is read once wherever it is met, so that loops end.  The file system UDF, which
may live in the same image, is not read here (see `borrowed`).  Never raises but LimitReached.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from spoolscan.scanner.bounds import Budget
from spoolscan.scanner.unpack.meter import Meter
from spoolscan.scanner.unpack.seam import Member, text
from spoolscan.verdict import Cause, Doubt

_SECTOR: Final = 2048
_FIRST: Final = 16  # the sector of the first descriptor
_MOST: Final = 64  # descriptors looked at
_MARK: Final = b"CD001"
_JOLIET: Final = (b"%/@", b"%/C", b"%/E")
_PRIMARY, _SUPPLEMENTARY, _LAST = 1, 2, 255
_DIRECTORY, _GOES_ON = 2, 0x80


@dataclass(frozen=True, slots=True)
class _Record:
    """A directory record: an extent in bytes, and what it is called."""

    name: str
    start: int
    size: int
    flags: int


class Iso9660:
    """See the module."""

    name = "ISO 9660"

    def recognises(self, data: bytes) -> bool:
        return data.startswith(_MARK, _FIRST * _SECTOR + 1)

    def members(self, data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
        meter = Meter(budget, len(data))
        given: set[tuple[str, tuple[tuple[int, int], ...]]] = set()
        trees = 0
        for record, joliet, block in _roots(data):
            trees += 1
            for name, extents, whole in _files(data, record, joliet, block, budget):
                key = name.casefold(), extents
                if key in given:
                    continue
                given.add(key)
                meter.member()
                meter.take(sum(min(size, max(0, len(data) - at)) for at, size in extents))
                yield Member(name, b"".join(data[at : at + size] for at, size in extents))
                if not whole:
                    yield Doubt(Cause.UNREADABLE, "file on a disc image is cut short")
        if not trees:
            yield Doubt(Cause.UNREADABLE, "disc image holds nothing that can be read")


def _roots(data: bytes) -> Iterator[tuple[_Record, bool, int]]:
    """The root of each tree, whether its names are in UCS-2, and its block size in bytes."""
    for sector in range(_FIRST, _FIRST + _MOST):
        at = sector * _SECTOR
        if not data.startswith(_MARK, at + 1) or data[at] == _LAST:
            return
        if data[at] in {_PRIMARY, _SUPPLEMENTARY}:
            joliet = data[at] == _SUPPLEMENTARY and data[at + 88 : at + 91] in _JOLIET
            block = int.from_bytes(data[at + 128 : at + 130], "little")
            block = block if block in {512, 1024, 2048, 4096, 8192} else _SECTOR
            root = _record(data[at + 156 : at + 190], joliet, block)
            if root is not None:
                yield root, joliet, block


def _files(
    data: bytes, root: _Record, joliet: bool, block: int, budget: Budget
) -> Iterator[tuple[str, tuple[tuple[int, int], ...], bool]]:
    """Names with the extents of their content, and whether these lie within the image."""
    waiting = [root]
    met = {root.start}
    while waiting:
        directory = waiting.pop()
        extents: list[tuple[int, int]] = []
        whole = directory.start + directory.size <= len(data)
        if not whole:
            yield "", (), False
        for record in _records(data, directory, joliet, block):
            budget.check_time()
            if record.flags & _DIRECTORY:
                if record.start not in met:
                    met.add(record.start)
                    waiting.append(record)
                continue
            extents.append((record.start, record.size))
            if not record.flags & _GOES_ON:
                yield record.name, tuple(extents), _within(data, extents)
                extents = []
        if extents:
            yield "", tuple(extents), False


def _within(data: bytes, extents: list[tuple[int, int]]) -> bool:
    return all(not size or at + size <= len(data) for at, size in extents)


def _records(data: bytes, directory: _Record, joliet: bool, block: int) -> Iterator[_Record]:
    """What stands in a directory but itself and its parent; no record crosses a sector."""
    end = min(directory.start + directory.size, len(data))
    at = directory.start
    while at < end:
        length = data[at]
        if not length:
            at += _SECTOR - (at - directory.start) % _SECTOR
            continue
        record = _record(data[at : min(at + length, end)], joliet, block)
        if record is not None and record.name not in {"\0", "\1"}:
            yield record
        at += length


def _record(raw: bytes, joliet: bool, block: int) -> _Record | None:
    """One record (9.1); its Rock Ridge name, where it has one, goes before the short one."""
    if len(raw) < 34:
        return None
    name_size = raw[32]
    name = raw[33 : 33 + name_size]
    if joliet and name_size > 1:
        words = name.decode("utf-16-be", "replace")
    else:
        words = text(_rock_ridge(raw, 33 + name_size + 1 - name_size % 2) or name)
    start = (int.from_bytes(raw[2:6], "little") + raw[1]) * block
    size = int.from_bytes(raw[10:14], "little")
    return _Record(words.partition(";")[0].removesuffix("."), start, size, raw[25])


def _rock_ridge(raw: bytes, at: int) -> bytes:
    """The name in the NM fields of a record (RRIP 4.1.4), b"" where there are none."""
    name = b""
    while at + 5 <= len(raw) and raw[at + 2] >= 4:
        if raw.startswith(b"NM", at):
            name += raw[at + 5 : at + raw[at + 2]]
        at += raw[at + 2]
    return name
