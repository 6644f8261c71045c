"""The sectors and the directory of an OLE compound file ([MS-CFB]).

The directory is read as a list, so that an entry outside its tree is found as well; chains are cut
where they leave the file or come back to themselves.  No recursion.  Never raises but LimitReached:
a broken file gives the streams that can be reached, and ``broken`` says so.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from spoolscan.scanner.bounds import Budget

SIGNATURE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENTRY: Final = struct.Struct("<64sHBB3L16s20xLQ")
_LAST: Final = 0xFFFFFFFA  # sector numbers from here on mean something else
_NOBODY: Final = 0xFFFFFFFF
_STORAGE, _STREAM, _ROOT = 1, 2, 5
_DEEPEST: Final = 32  # storages in a path
_MINI_SECTOR: Final = 64
_LETTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._"


@dataclass(frozen=True, slots=True)
class Entry:
    """One directory entry; ``number`` is its index, ``size`` in bytes."""

    number: int
    name: str
    kind: int
    left: int
    right: int
    child: int
    start: int
    size: int


class Compound:
    """A compound file held in memory."""

    def __init__(self, data: bytes, budget: Budget) -> None:
        """Reads the tables and the directory.  Raises LimitReached."""
        self._data = data
        self._budget = budget
        self.broken = len(data) < 512
        shift = int.from_bytes(data[30:32], "little")
        self._sector = 1 << shift if shift in {9, 12} else 512
        self._cutoff = _number(data, 56) or 4096
        self._fat = self._table(self._fat_sectors())
        self._mini_fat = self._table(self._chain(_number(data, 60), self._fat))
        self.entries = self._directory()
        self.streams = [entry for entry in self.entries if entry.kind == _STREAM]
        self.broken |= not self.entries
        self._parents = self._tree()
        self._children: dict[int, list[Entry]] = {}
        for entry in self.entries:
            self._children.setdefault(self._parents.get(entry.number, _NOBODY), []).append(entry)
        root = next((entry for entry in self.entries if entry.kind == _ROOT), None)
        self._mini = b"" if root is None else self._join(self._chain(root.start, self._fat))

    def read(self, entry: Entry) -> bytes:
        """The bytes of a stream, as many as its chain has of what its size says."""
        if entry.size >= self._cutoff:
            wanted = entry.size // self._sector + 1
            return self._join(self._chain(entry.start, self._fat, wanted))[: entry.size]
        wanted = entry.size // _MINI_SECTOR + 1
        chain = self._chain(entry.start, self._mini_fat, wanted)
        pieces = [self._mini[at * _MINI_SECTOR : (at + 1) * _MINI_SECTOR] for at in chain]
        return b"".join(pieces)[: entry.size]

    def parent_name(self, entry: Entry) -> str:
        parent = self._parents.get(entry.number)
        return "" if parent is None else self.entries[parent].name

    def siblings(self, entry: Entry) -> list[Entry]:
        """Everything in the same storage."""
        return self._children.get(self._parents.get(entry.number, _NOBODY), [])

    def path(self, entry: Entry) -> str:
        """The names of the storages around a stream and its own, joined by slashes."""
        names = [entry.name]
        parent = self._parents.get(entry.number)
        while parent is not None and len(names) < _DEEPEST:
            if self.entries[parent].kind == _ROOT:
                break
            names.append(self.entries[parent].name)
            parent = self._parents.get(parent)
        return "/".join(reversed(names))

    def _fat_sectors(self) -> list[int]:
        """The first 109 stand in the header, the others in sectors linked by their last number."""
        sectors = list(struct.unpack_from("<109L", self._data.ljust(512, b"\0"), 76))
        following = _number(self._data, 68)
        seen: set[int] = set()
        while following < _LAST and following not in seen:
            seen.add(following)
            table = self._table([following])
            if not table:
                break
            sectors += table[:-1]
            following = table[-1]
        return [sector for sector in dict.fromkeys(sectors) if sector < _LAST]

    def _table(self, sectors: list[int]) -> tuple[int, ...]:
        joined = self._join(sectors)
        return struct.unpack(f"<{len(joined) // 4}L", joined[: len(joined) // 4 * 4])

    def _chain(self, start: int, table: tuple[int, ...], wanted: int = 1 << 32) -> list[int]:
        """Sector numbers from ``start`` on, no more than there are or are wanted."""
        chain: list[int] = []
        limit = min(wanted, len(table))
        while start < len(table) and len(chain) < limit:
            chain.append(start)
            start = table[start]
        self._budget.check_time()
        return chain

    def _join(self, sectors: list[int]) -> bytes:
        size = self._sector
        return b"".join(self._data[(at + 1) * size : (at + 2) * size] for at in sectors)

    def _directory(self) -> list[Entry]:
        raw = self._join(self._chain(_number(self._data, 48), self._fat))
        entries: list[Entry] = []
        for at in range(0, len(raw) - _ENTRY.size + 1, _ENTRY.size):
            name, length, kind, _, left, right, child, _, start, size = _ENTRY.unpack_from(raw, at)
            words = _plain(name[: max(0, min(length, 64) - 2)].decode("utf-16-le", "replace"))
            number = len(entries)
            entries.append(Entry(number, words, kind, left, right, child, start, size & 0xFFFFFFFF))
        return entries

    def _tree(self) -> dict[int, int]:
        """Who is whose parent; each entry is visited once."""
        parents: dict[int, int] = {}
        for storage in self.entries:
            if storage.kind not in {_STORAGE, _ROOT}:
                continue
            waiting = [storage.child]
            while waiting:
                number = waiting.pop()
                if number >= len(self.entries) or number in parents:
                    continue
                parents[number] = storage.number
                waiting += (self.entries[number].left, self.entries[number].right)
        return parents


def _plain(name: str) -> str:
    """A stream's name as an installer (.msi) packs it: two letters in one, from U+3800 on."""
    codes = [ord(letter) - 0x3800 for letter in name]
    if not codes or not all(0 <= code <= 0x1040 for code in codes):
        return name
    letters: list[str] = []
    for code in codes:
        if code == 0x1040:
            letters.append("!")
        else:
            letters.append(_LETTERS[code & 0x3F])
            letters.append(_LETTERS[code >> 6] if code < 0x1000 else "")
    return "".join(letters)


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")
