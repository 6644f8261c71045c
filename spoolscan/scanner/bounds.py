"""How much of one message is read before the answer is "cannot tell".

Every reader takes a `Bounds` and says with a `Doubt` (cause LIMIT) that it met one; reaching a
bound is UNSCANNABLE, never clean.  The defaults are documented in etc/spoolscan.toml, [bounds].
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import ClassVar

from spoolscan.scanner.passwords import Keys
from spoolscan.units import Count, Duration, Size


@dataclass(frozen=True, slots=True)
class Bounds:
    """Per message unless said otherwise; counts, bytes and seconds."""

    # The settings file is checked by pydantic, which is told here that there are no other bounds.
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    headers: Count = 1000  # header fields of one part
    header_bytes: Size = 262_144  # all header fields of one part
    depth: Count = 20  # nesting of multiparts, messages and archives
    parts: Count = 2000  # parts and archive members in all
    parameters: Count = 200  # parameters of one header field
    decoded_bytes: Size = 134_217_728  # all that decoding and unpacking give
    ratio: Count = 1000  # decoded bytes of one container to its own bytes, above the first MiB
    passwords: Count = 200  # words tried on all that is encrypted
    seconds: Duration = 60.0  # wall clock for the whole inspection


_EACH_READING = 100  # bytes that a reading costs at least, in time
_READINGS = 16


class LimitReached(Exception):
    """A bound was met; the text names it."""


@dataclass(slots=True)
class Budget:
    """What is left of the bounds for one message.  Shared by all readers of that message.

    So are the ``keys`` to what is encrypted in it; without any, nothing is tried.
    """

    bounds: Bounds
    parts: int = 0
    decoded: int = 0
    read: int = 0
    keys: Keys = field(default_factory=Keys)
    deadline: float = field(default=0.0)

    def __post_init__(self) -> None:
        self.deadline = time.monotonic() + self.bounds.seconds

    def take_part(self) -> None:
        """Count one part or member.  Raises LimitReached."""
        self.parts += 1
        if self.parts > self.bounds.parts:
            raise LimitReached(f"more than {self.bounds.parts} parts")
        self.check_time()

    def take_bytes(self, count: int) -> None:
        """Count decoded bytes, before or as they are made.  Raises LimitReached."""
        self.decoded += count
        if self.decoded > self.bounds.decoded_bytes:
            raise LimitReached(f"more than {self.bounds.decoded_bytes} decoded bytes")

    def take_reading(self, count: int) -> None:
        """Count bytes of one reading of a header field that has many.  Raises LimitReached.

        Some hundred bytes can be read in a hundred ways; what all ways of all fields of a message
        take together is bounded by what one header may hold, times sixteen.
        """
        self.read += count + _EACH_READING
        if self.read > _READINGS * self.bounds.header_bytes:
            raise LimitReached("too many readings of header fields")

    def check_depth(self, depth: int) -> None:
        """Raises LimitReached."""
        if depth > self.bounds.depth:
            raise LimitReached(f"nested deeper than {self.bounds.depth}")

    def check_time(self) -> None:
        """Raises LimitReached."""
        if time.monotonic() > self.deadline:
            raise LimitReached(f"more than {self.bounds.seconds:g} seconds")
