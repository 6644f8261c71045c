"""When each job ran last: ``var/NAME.job``, a line of JSON that outlives restarts.

A stamp of the future (the clock was set back) counts as none: a job runs once too often rather
than never again.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from typing import Self

from spoolscan.spool import Spool


@dataclass(frozen=True, slots=True)
class Stamp:
    """Seconds since the epoch, 0 for never; ``failures`` in a row, and when they were told."""

    tried: float = 0.0
    done: float = 0.0
    failures: int = 0
    told: float = 0.0

    def believed(self, now: float) -> Self:
        """Without what lies in the future."""
        tried, done, told = (at if at <= now else 0.0 for at in (self.tried, self.done, self.told))
        return replace(self, tried=tried, done=done, told=told)


def read(spool: Spool, name: str, now: float) -> Stamp:
    """A stamp that cannot be read is none."""
    try:
        with open(_path(spool, name), encoding="ascii") as file:
            data = json.load(file)
        stamp = Stamp(
            float(data["tried"]), float(data["done"]), int(data["failures"]), float(data["told"])
        )
    except (OSError, ValueError, TypeError, KeyError):
        return Stamp()
    return stamp.believed(now)


def write(spool: Spool, name: str, stamp: Stamp) -> None:
    """Raises TemporaryFailure."""
    spool.note(os.path.basename(_path(spool, name)), json.dumps(asdict(stamp)).encode("ascii"))


def _path(spool: Spool, name: str) -> str:
    return spool.path("var", f"{name}.job")
