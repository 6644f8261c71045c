"""A next hop as the daemon sees it: its route, how it is doing, and who waits for it."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from spoolscan.errors import SpoolscanError
from spoolscan.forwarder.delivery import ConnectionLost, Fate, NextHopDown, Outcome, Route
from spoolscan.forwarder.schedule import Throttle
from spoolscan.spool import Entry


@dataclass(slots=True, eq=False)
class Hop:
    """Messages wait with their time of arrival (seconds since the epoch), their files untouched."""

    route: Route
    throttle: Throttle
    waiting: deque[tuple[Entry, float]] = field(default_factory=deque)
    why: str = "the next hop gave no answer"  # the last trouble with it

    def admits(self) -> bool:
        """Whether another delivery may begin."""
        return self.throttle.admits(time.monotonic())

    def is_down(self) -> bool:
        return time.monotonic() < self.throttle.resumes

    def pause(self) -> float | None:
        """Seconds until it is to be asked again; None where nobody waits, or it is busy."""
        if not self.waiting or self.throttle.busy >= self.throttle.limit:
            return None
        return max(self.throttle.resumes - time.monotonic(), 0.0)

    def ended(self, error: Exception | None) -> None:
        """Learn from an attempt."""
        now = time.monotonic()
        if error is None:
            self.throttle.worked()
        elif isinstance(error, NextHopDown):
            self.throttle.down(now)
            self.why = str(error)
        elif isinstance(error, ConnectionLost):
            self.throttle.broke(now)
            self.why = str(error)

    def unsettled(self, error: Exception | None) -> Outcome:
        """For recipients of whom the route said nothing before it ended with ``error``."""
        if isinstance(error, ConnectionLost):
            return Outcome(Fate.DEFERRED, "4.4.2", str(error))
        if error is None or isinstance(error, NextHopDown):
            return Outcome(Fate.DEFERRED, "4.4.1", self.why)
        return Outcome(Fate.DEFERRED, "4.3.0", f"trouble of our own: {words(error)}")

    def old(self, arrived_before: float) -> list[Entry]:
        """Take out those who wait too long, to be looked at whether it is down or not."""
        if not any(arrived <= arrived_before for _, arrived in self.waiting):
            return []
        old = [entry for entry, arrived in self.waiting if arrived <= arrived_before]
        self.waiting = deque(item for item in self.waiting if item[1] > arrived_before)
        return old


def words(error: Exception) -> str:
    """What to log of it: ours are sentences; of any other one has to know its kind."""
    return str(error) if isinstance(error, SpoolscanError) else repr(error)
