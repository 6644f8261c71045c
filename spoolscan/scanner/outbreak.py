"""Notices in an outbreak: the first few as they come, then one that counts the others.

For each kind of notice and each reader the first `burst` of a window go out by themselves.  What
comes after is counted; when the window ends, one notice tells how many there were, and of what.  A
window begins with the first notice, and the next one with the first after it ended, so a day of
viruses makes few mails and none is left out of the count.

Pure: the clock is the caller's.  Not thread-safe.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

_MOST_NAMES: Final = 100  # different ones that are counted by name; the others together
_OTHERS: Final = "others"
_MOST_READERS: Final = 10_000


@dataclass(slots=True)
class Counted:
    """What was not told one by one; ``since`` and ``until`` are of the caller's clock, seconds."""

    template: str
    reader: str
    since: float
    until: float
    sent: int = 0
    names: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return sum(self.names.values())


class Outbreak:
    """``burst`` notices in ``window`` seconds."""

    def __init__(self, burst: int, window: float) -> None:
        self._burst = burst
        self._window = window
        self._open: dict[tuple[str, str], Counted] = {}

    def admits(self, template: str, reader: str, name: str, now: float) -> bool:
        """Whether this notice goes out by itself; else it is counted under ``name``."""
        counted = self._open.get((template, reader))
        if counted is None:
            if len(self._open) >= _MOST_READERS:
                return True  # forgetting somebody's count would be worse
            counted = Counted(template, reader, now, now + self._window)
            self._open[template, reader] = counted
        if counted.sent < self._burst:
            counted.sent += 1
            return True
        known = name in counted.names or len(counted.names) < _MOST_NAMES
        counted.names[name if known else _OTHERS] += 1
        return False

    def over(self, now: float, *, all_of_them: bool = False) -> list[Counted]:
        """Windows that have ended, taken out; those with something to tell."""
        ended = [it for it in self._open.values() if all_of_them or now >= it.until]
        for counted in ended:
            del self._open[counted.template, counted.reader]
        return [counted for counted in ended if counted.total]

    def next(self, now: float) -> float | None:
        """Seconds until the next window with something to tell ends."""
        return min((it.until - now for it in self._open.values() if it.total), default=None)
