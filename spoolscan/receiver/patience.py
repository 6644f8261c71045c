"""How long a peer may take, and how that changes when there are many.

Pure: no clock.  Under stress everybody has seconds where otherwise he has minutes, also those who
are there already: or a crowd of silent peers that came first would keep the others out.
"""

from __future__ import annotations

import math
from typing import Final

_CALM: Final = 0.8  # of the number at which stress began, below which it ends


class Patience:
    """One for a receiver.  Seconds; ``min_rate`` in bytes a second, 0 for any."""

    def __init__(
        self, command_seconds: float, data_seconds: float, hurried_seconds: float, min_rate: float
    ) -> None:
        self.hurried = False
        self._command_seconds = command_seconds
        self._data_seconds = data_seconds
        self._hurried_seconds = hurried_seconds
        self._min_rate = min_rate

    @property
    def command_seconds(self) -> float:
        """For the next command, from our last reply on."""
        return self._now(self._command_seconds)

    @property
    def data_seconds(self) -> float:
        """For the next piece of a message; and for us to get rid of a reply."""
        return self._now(self._data_seconds)

    def left(self, waited: float, heard: int, *, in_data: bool) -> float:
        """Seconds until the next segment must have come.

        ``waited`` is how long we did so since our last reply, ``heard`` the bytes that came since.
        A peer that drips gains nothing: a command has its time as a whole, and a message has to
        come at ``min_rate`` beyond the time in which it may send nothing at all.
        """
        if not in_data:
            return self.command_seconds - waited
        idle = self.data_seconds
        earned = heard / self._min_rate if self._min_rate else math.inf
        return min(idle, idle + earned - waited)

    def _now(self, seconds: float) -> float:
        return min(seconds, self._hurried_seconds) if self.hurried else seconds


class Stress:
    """Begins with so many connections, and ends when a fifth of them is gone."""

    def __init__(self, begins_at: int) -> None:
        self.on = False
        self._begins_at = begins_at

    def changes(self, connections: int) -> bool:
        """Whether it began, or ended, now that there are so many."""
        before = self.on
        least = self._begins_at * _CALM if self.on else self._begins_at
        self.on = connections >= least
        return self.on is not before
