"""When to try again, from age alone: no counters, so nothing is lost by a restart.

For a message (RFC 5321 section 4.5.4.1): it is tried again after as long as it has waited already,
within bounds, sooner at first; after five days it is given up.  Its next time is kept as the
file's time of last change.  For a next hop: one that does not answer is left alone for a while
that doubles, then asked with a single message; the others wait, untouched, and cost nothing.

No I/O and no clock: the caller gives the time.  Messages live by the wall clock, next hops by the
monotonic one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from spoolscan.units import Duration

_LATE = 86_400.0  # seconds after its time that an attempt no longer tells the age of a message


@dataclass(frozen=True, slots=True)
class Retries:
    """Seconds."""

    # The settings file is checked by pydantic, which is told here that there is nothing else.
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    first: Duration = 60.0  # while the message is younger than ``shortest``
    shortest: Duration = 300.0
    longest: Annotated[Duration, Field(le=86_400)] = 3600.0
    expiry: Duration = 5 * 86_400.0
    warning: Duration = 4 * 3600.0  # 0: the sender is not told that his mail is late

    def next(self, arrived: float, now: float) -> float:
        """When a message that came at ``arrived`` and failed at ``now`` is due again."""
        age = now - arrived
        delay = self.first if age < self.shortest else min(age, self.longest)
        return now + delay

    def expired(self, arrived: float, due: float, now: float) -> bool:
        """Whether a message that failed again, and whose attempt was ``due``, is given up.

        Never at an attempt that comes long after its time: then this program was down for long, or
        the clock jumped, and the message gets another chance before its age is believed.
        """
        return now - arrived >= self.expiry and now - due < _LATE

    def is_late(self, arrived: float, now: float) -> bool:
        """Whether the sender is to be told that it is not delivered yet."""
        return 0 < self.warning <= now - arrived

    def look(self, arrived: float, *, warned: bool) -> float:
        """When there is something to say of a message, whether its next hop is down or not."""
        return arrived + (self.expiry if warned or not self.warning else self.warning)


@dataclass(slots=True)
class Throttle:
    """How many deliveries at once a next hop gets, and whether any; times are monotonic seconds.

    A next hop that is down gets none until ``resumes``, then a single one; each that works allows
    one more, up to ``ceiling``.  Conversations that break off may be the message's own fault: only
    the ``patience``-th in a row counts as down.
    """

    ceiling: int
    first_pause: float = 5.0
    longest_pause: float = 300.0
    patience: int = 3
    limit: int = 0
    busy: int = 0
    resumes: float = 0.0
    _pause: float = 0.0
    _broken: int = 0

    def __post_init__(self) -> None:
        self.limit = self.ceiling

    def admits(self, now: float) -> bool:
        """Whether another delivery may begin."""
        return now >= self.resumes and self.busy < self.limit

    def worked(self) -> None:
        """The next hop has answered for a message, be it with yes or no: it is not down.

        One that refused a connection only because it has enough of them is asked by fewer at once.
        """
        self.resumes = 0.0
        self.limit = min(self.limit + 1, self.ceiling)
        self._pause = 0.0
        self._broken = 0

    def broke(self, now: float) -> None:
        """A conversation was cut."""
        self._broken += 1
        if self._broken >= self.patience:
            self.down(now)

    def down(self, now: float) -> None:
        """Nobody answered.  Several deliveries that find this out at once count as one."""
        self.limit = 1
        if now >= self.resumes:
            self._pause = min(max(2 * self._pause, self.first_pause), self.longest_pause)
            self.resumes = now + self._pause
