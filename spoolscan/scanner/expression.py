r"""A regular expression as a tree, and its text for RE2.

`bre` builds the tree; ``emit`` writes it, to be compiled as latin-1 and searched multi-line in
lines joined by LF.  Every set of bytes is written out as ``[\xNN-\xNN]``, so nothing depends on
what RE2 makes of a character, and LF is in no set: it ends a line.

RE2 has ``^ $ \b \B`` but not ``\<`` and ``\>``, and cannot look at a byte without taking it.  So
every node knows which bytes it may begin and end with, ``emit`` is told what may stand before and
after, and where that settles on which side the word is, ``\b`` is all it takes.  Where it does
not, Unsupported is raised: what is written always means what the tree means.

Linear in the size of the tree; recursion is as deep as the tree is.
"""

from __future__ import annotations

import functools
import string
from collections import abc
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

# A set of bytes is an int with bit N for byte N.  Neighbours of a place have four bits more.
ALL: Final = (1 << 256) - 1
_LF: Final = 1 << ord("\n")
_LINE_EDGE: Final = 1 << 256  # the line begins or ends here
_THROUGH: Final = 1 << 257  # may be empty: the neighbour beyond is seen as well
_SEAM: Final = 1 << 258  # an anchor lies between
OPEN: Final = 1 << 259  # the pattern begins or ends here: any byte, or the line's edge


class BadPattern(ValueError):
    """Why a pattern is not taken, and what to write instead."""


class Unsupported(BadPattern):
    """Grep takes it, and we cannot match exactly as grep does."""


def byte_set(members: Iterable[int]) -> int:
    """The set of these bytes."""
    mask = 0
    for member in members:
        mask |= 1 << member
    return mask


WORD: Final = byte_set(f"{string.ascii_letters}{string.digits}_".encode("ascii"))
_NOT_WORD: Final = (ALL & ~WORD) | _LINE_EDGE


class Node(Protocol):
    """``first`` and ``last`` are the neighbours it shows to what stands before and after it."""

    @property
    def first(self) -> int: ...
    @property
    def last(self) -> int: ...
    def emit(self, before: int, after: int) -> bytes: ...


def _beyond(near: int, far: int) -> int:
    """The neighbours seen across something that shows ``near``, with ``far`` behind it."""
    if not near & _THROUGH:
        return near & ~_SEAM
    return (near & ~_THROUGH) | far


@dataclass(frozen=True, slots=True)
class Bytes:
    """One byte out of a set."""

    members: int

    @property
    def first(self) -> int:
        return self.members & ~_LF

    last = first

    def emit(self, before: int, after: int) -> bytes:  # noqa: ARG002 - a byte is the same anywhere
        return _written(self.members & ~_LF)


@functools.lru_cache(1024)
def _written(members: int) -> bytes:
    """A set of bytes; of all that a file holds there are few."""
    ranges = bytearray()
    low = 0
    while rest := members >> low:
        low += (rest & -rest).bit_length() - 1
        run = members >> low
        length = (~run & (run + 1)).bit_length() - 1
        ranges += b"\\x%02x-\\x%02x" % (low, low + length - 1)
        low += length
    return b"[%s]" % ranges if ranges else b"[^\\x00-\\xff]"


@dataclass(frozen=True, slots=True)
class Anchor:
    """A place between two bytes: one of ``^ $ b B < >``."""

    kind: str

    @property
    def first(self) -> int:
        return _LINE_EDGE if self.kind == "$" else _THROUGH | _SEAM

    @property
    def last(self) -> int:
        return _LINE_EDGE if self.kind == "^" else _THROUGH | _SEAM

    def emit(self, before: int, after: int) -> bytes:
        match self.kind:
            case "<":
                return self._edge(before, after, _NOT_WORD, WORD)
            case ">":
                return self._edge(before, after, WORD, _NOT_WORD)
            case "b" | "B":
                return b"\\" + self.kind.encode()
            case _:
                return self.kind.encode()

    def _edge(self, before: int, after: int, left: int, right: int) -> bytes:
        r"""``\b`` plus the certainty of one side is the certainty of both.

        RE2 cannot look at a byte without taking it.  At the pattern's own edge taking one more is
        no harm, for only the line is asked for; elsewhere the neighbours must be certain.
        """
        if not before & ~(left | _SEAM) or not after & ~(right | _SEAM):
            return b"\\b"
        if before == OPEN:
            return _one_of(left, b"^") + b"\\b"
        if after == OPEN:
            return b"\\b" + _one_of(right, b"$")
        raise Unsupported(
            rf"\{self.kind} where it is not certain on which side the word is;"
            r" write \b, or the neighbouring character"
        )


def _one_of(side: int, edge: bytes) -> bytes:
    """A byte of that side of a word's edge, or the edge of the line where that will do."""
    taken = Bytes(side & ALL).emit(0, 0)
    return b"(?:%s|%s)" % (edge, taken) if side & _LINE_EDGE else taken


@dataclass(frozen=True, slots=True)
class Sequence:
    items: abc.Sequence[Node]
    first: int
    last: int

    @classmethod
    def of(cls, items: abc.Sequence[Node]) -> Sequence:
        first = last = _THROUGH
        for item in reversed(items):
            first = _beyond(item.first, first)
        for item in items:
            last = _beyond(item.last, last)
        return cls(items, first, last)

    def emit(self, before: int, after: int) -> bytes:
        afters = [after]
        for item in reversed(self.items[1:]):
            afters.append(_beyond(item.first, afters[-1]))
        written = []
        for item in self.items:
            written.append(item.emit(before, afters.pop()))
            before = _beyond(item.last, before)
        return b"".join(written)


@dataclass(frozen=True, slots=True)
class Choice:
    branches: abc.Sequence[Node]
    first: int
    last: int

    @classmethod
    def of(cls, branches: abc.Sequence[Node]) -> Choice:
        first = last = 0
        for branch in branches:
            first |= branch.first
            last |= branch.last
        return cls(branches, first, last)

    def emit(self, before: int, after: int) -> bytes:
        return b"(?:%s)" % b"|".join(branch.emit(before, after) for branch in self.branches)


@dataclass(frozen=True, slots=True)
class Repeat:
    """``most`` is None for no limit."""

    item: Node
    least: int
    most: int | None

    @property
    def first(self) -> int:
        return self.item.first | (0 if self.least else _THROUGH)

    @property
    def last(self) -> int:
        return self.item.last | (0 if self.least else _THROUGH)

    def emit(self, before: int, after: int) -> bytes:
        if self.most is None or self.most > 1:
            # The item is its own neighbour, too; seen through itself it shows nothing new.
            before |= self.item.last & ~_THROUGH
            after |= self.item.first & ~_THROUGH
        most = b"" if self.most is None else b"%d" % self.most
        return b"(?:%s){%d,%s}" % (self.item.emit(before, after), self.least, most)
