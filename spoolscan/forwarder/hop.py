"""A next hop as the daemon sees it: its route, how it is doing, and who waits for it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from spoolscan.errors import SpoolscanError
from spoolscan.forwarder.delivery import ConnectionLost, Fate, NextHopDown, Outcome, Route
from spoolscan.forwarder.schedule import Throttle
from spoolscan.spool import Entry

_IDLE = 60.0  # seconds without work after which it is forgotten


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message in memory, its file untouched.

    ``look`` is when there is something to say of it even if nobody takes it (seconds since the
    epoch), ``heard`` what was said of some recipients in this round: not to be asked again in it.
    ``several``: other next hops are to have it, too.
    """

    entry: Entry
    look: float = 0.0
    several: bool = False
    heard: Mapping[int, Outcome] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Hop:
    """One destination."""

    route: Route
    throttle: Throttle
    waiting: deque[Waiting] = field(default_factory=deque)
    why: str = "the next hop gave no answer"  # the last trouble with it
    used: float = field(default_factory=time.monotonic)  # when it last had something to do

    def admits(self) -> bool:
        """Whether another delivery may begin."""
        return self.throttle.admits(time.monotonic())

    def is_down(self) -> bool:
        return time.monotonic() < self.throttle.resumes

    def is_idle(self) -> bool:
        """Nothing is remembered of it that matters."""
        now = time.monotonic()
        busy = self.waiting or self.throttle.busy
        return not busy and now > max(self.used, self.throttle.resumes) + _IDLE

    def pause(self) -> float | None:
        """Seconds until it is to be asked again; None where nobody waits, or it is busy."""
        if not self.waiting or self.throttle.busy >= self.throttle.limit:
            return None
        return max(self.throttle.resumes - time.monotonic(), 0.0)

    def ended(self, error: Exception | None) -> None:
        """Learn from an attempt."""
        now = self.used = time.monotonic()
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

    def take(self, which: Callable[[Waiting], bool]) -> list[Waiting]:
        """Take out some of those that wait, to be looked at be it down or not."""
        taken = [item for item in self.waiting if which(item)]
        if taken:
            self.waiting = deque(item for item in self.waiting if not which(item))
        return taken

    def ask_now(self) -> None:
        """Somebody is in a hurry: it need not rest any longer."""
        self.throttle.resumes = 0.0


def words(error: Exception) -> str:
    """What to log of it: ours are sentences; of any other one has to know its kind."""
    return str(error) if isinstance(error, SpoolscanError) else repr(error)
