"""The words of the unpacker seam.  A module of its own, so that implementations can import it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from spoolscan.scanner.bounds import Budget
from spoolscan.scanner.passwords import Key
from spoolscan.verdict import Cause, Doubt


@dataclass(frozen=True, slots=True)
class Member:
    """Something inside; ``name`` is as the container gives it, "" where it gives none.

    A member that is named but cannot be opened has empty ``data``, is not ``opened``, and a Doubt
    comes with it.
    """

    name: str
    data: bytes
    opened: bool = True


class Unpacker(Protocol):
    """One kind of container."""

    @property
    def name(self) -> str:
        """What people call the format."""

    def recognises(self, data: bytes) -> bool:
        """Whether to ask for members; by content alone, in linear time.  Never raises."""

    def members(self, data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
        """Lazily, what is inside; a Doubt for what cannot be opened.  Raises LimitReached."""


class Anywhere(Unpacker, Protocol):
    """One that can begin anywhere, behind other bytes."""

    @property
    def trace(self) -> bytes:
        """A pattern that stands in all that it recognises (see `spoolscan.scanner.traces`)."""


def text(name: bytes, fallback: str = "latin-1") -> str:
    """A name as words: UTF-8 where it is that, else one byte a character."""
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode(fallback, "replace")


def unlocked(kind: str, key: Key) -> Doubt:
    """What is noted of something encrypted that a password opened."""
    return Doubt(Cause.UNLOCKED, f"{kind} was encrypted; {key.source} has the password")
