"""What lies in outgoing/ and is not in our hands yet: one listing after another, and between them
what somebody saw come.

The listing is the truth, and an expensive one where a hundred thousand messages wait: of those that
were there before only the name is looked at, most of the time.  A time that somebody gave a file is
seen half a minute later, or at once where he says so (`Spool.wake`); one that a mark of ours left
says nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from typing import Final

from spoolscan.spool import Entry, Spool
from spoolscan.watch import LOOK_AGAIN, RESCAN, Copying

_MANY: Final = 100  # entries; to list fewer takes less than to ask a thread for it


@dataclass(slots=True)
class Found:
    """``due``: to be taken in hand.  ``hurried``: in hand, and somebody gave them other times.

    ``soonest``: seconds until something else is due.
    """

    due: list[Entry] = field(default_factory=list)
    hurried: set[str] = field(default_factory=set)
    soonest: float = RESCAN


class Arrivals:
    """Of one event loop; one `look` at a time."""

    def __init__(self, spool: Spool) -> None:
        self.copying = Copying()
        self._spool = spool
        self._known: dict[str, float] = {}  # in hand, by their times
        self._gone: set[str] = set()  # left our hands since the listing in progress began
        self._seen: dict[str, Entry] = {}  # of the listing before
        self._future: dict[str, float] = {}  # dated so, and since when (monotonic) we know them
        self._all_again = 0.0  # when (monotonic) all of them are looked at again
        self._many = True  # were listed last, or may be
        self._woken = 0.0  # when somebody asked for that

    async def look(self, skip: Set[str] = frozenset()) -> Found:
        """List all, and take in hand what is due, but for some.  Raises TemporaryFailure."""
        self._gone.clear()
        entries = await asyncio.to_thread(self._listed) if self._many else self._listed()
        self._many = len(entries) > _MANY
        if self._future:
            there = {entry.queue_id for entry in entries}
            self._future = {name: at for name, at in self._future.items() if name in there}
        for queue_id in self._gone:  # their times may be other ones by now
            self._seen.pop(queue_id, None)
        return self._sorted(entries, skip | self._gone)

    def look_at(self, names: Iterable[str]) -> Found:
        """The same of those that came just now, without a listing.  Raises TemporaryFailure."""
        entries = (self._spool.entry("outgoing", name) for name in names)
        return self._sorted((entry for entry in entries if entry is not None), frozenset())

    def _sorted(self, entries: Iterable[Entry], skip: Set[str]) -> Found:
        found = Found()
        now = time.time()
        for entry in entries:
            queue_id = entry.queue_id
            if queue_id in self._known:
                if entry.given and entry.due != self._known[queue_id]:
                    self._known[queue_id] = entry.due
                    found.hurried.add(queue_id)
            elif queue_id in skip:
                continue
            elif entry.is_due(now) and self.copying.may_try(entry):
                self._known[queue_id] = entry.due
                found.due.append(entry)
            elif entry.due > now:
                found.soonest = min(found.soonest, entry.due - now)
            else:  # somebody is still copying it here
                self._seen.pop(queue_id, None)
                found.soonest = min(found.soonest, LOOK_AGAIN)
        return found

    def forget(self, queue_id: str) -> None:
        """It is out of our hands."""
        self._known.pop(queue_id, None)
        self._seen.pop(queue_id, None)
        self._gone.add(queue_id)

    def since(self, queue_id: str, dated: float) -> float:
        """From when on the age of a message counts; both in seconds since the epoch.

        The clock was wrong when it was dated, or is so now, where that time is still to come.  Then
        it is as old as this program has known it for: it gets no older by a leap of the clock, nor
        is it tried for ever.
        """
        now = time.time()
        if dated <= now:
            return dated
        known = time.monotonic() - self._future.setdefault(queue_id, time.monotonic())
        return now - known

    def _listed(self) -> list[Entry]:
        woken, now = self._spool.woken("outgoing"), time.monotonic()
        if woken != self._woken or now >= self._all_again:
            self._woken, self._all_again = woken, now + RESCAN
            self._seen.clear()
        entries = self._spool.entries("outgoing", self._seen)
        self._seen = {entry.queue_id: entry for entry in entries}
        return entries
