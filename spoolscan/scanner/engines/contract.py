"""What an engine is: the contract every scanner behind this seam keeps.

An engine is given samples and answers with findings.  It is blocking (it runs in a worker
process), keeps nothing between two calls that a later one depends on, and knows neither spool nor
envelope.  Which engine is asked when another fails is for `panel` to say.

The one rule: **an empty list is said only after a plain "clean" for every sample.**  A scanner that
is down, slow, cut off, or says what is not understood raises TemporaryFailure, and the mail waits.

tests/contracts/test_engines.py holds every implementation to this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from spoolscan.errors import TemporaryFailure
from spoolscan.verdict import Finding

Tell = Callable[[str], None]
"""Takes one sentence for the administrator: a log line, never an answer."""


class WrongAnswer(TemporaryFailure):
    """It answered, and that is no answer: the scanner is confused, not down."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Bytes to be scanned, and the path that leads through the nesting to them.

    The empty path is the whole message.  The path is the sender's word: an engine hands it back in
    its findings and uses it for nothing else.
    """

    path: tuple[str, ...]
    data: bytes


class Engine(Protocol):
    """One scanner."""

    @property
    def name(self) -> str:
        """What its findings call it; unique among the engines of one configuration."""

    def scan(self, samples: Sequence[Sample], deadline: float = math.inf) -> list[Finding]:
        """Scan all; findings in the order of the samples, none for a clean one.

        INFECTED or BANNED for what was found, UNSCANNABLE for what the scanner says it will never
        read (too large, encrypted).  Raises TemporaryFailure for anything but a plain answer, a
        WrongAnswer for one that is not understood, and where ``deadline`` (of `time.monotonic`)
        comes before the engine's own timeout and before the answer.
        """

    def awake(self) -> str:
        """Its version in words, after making sure that it answers.

        Raises TemporaryFailure (down for now) or ConfigError (can never work as it is set up).
        """

    def close(self) -> None:
        """Let go of what it holds; a second call does nothing."""
