"""Which job is due when: by `schedule`, by the stamps of the last runs, and after failures.

`schedule` knows the times of day and the intervals, and lives as long as the process; the stamps
know what happened before that.  A job whose time passed while nothing ran is due at once.  The
clock on the wall may jump: the timetable is made anew when it has gone another way than the clock
that only counts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import schedule

from spoolscan.durations import seconds
from spoolscan.jobs.runner import retry_at
from spoolscan.jobs.stamps import Stamp

_JUMP: Final = 60.0  # seconds between the clocks that are no drift
_TIME: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def last_due(when: str, now: datetime) -> datetime | None:
    """The last time a daily job (``HH:MM``, local) was due before ``now``; None for an interval."""
    found = _TIME.fullmatch(when)
    if found is None:
        return None
    today = now.replace(hour=int(found[1]), minute=int(found[2]), second=0, microsecond=0)
    return today if today <= now else today - timedelta(days=1)


def was_missed(when: str, stamp: Stamp, now: datetime) -> bool:
    """Whether its time came since the last success."""
    due = last_due(when, now)
    if due is not None:
        # Of a job that never ran, only the times to come count: a new spool has no yesterday.
        return 0 < stamp.done < due.timestamp()
    return now.timestamp() - stamp.done >= seconds(when)


class Timetable:
    """``times`` are those of ``[jobs]``: ``HH:MM``, a duration, or "" for never."""

    def __init__(
        self,
        times: Mapping[str, str],
        stamp_of: Callable[[str], Stamp],
        run: Callable[[str], None],
        counter: Callable[[], float] = time.monotonic,
    ) -> None:
        """``counter``: seconds that nobody can set."""
        self._times = {name: when for name, when in times.items() if when}
        self._stamp_of = stamp_of
        self._run = run
        self._counter = counter
        self._begin()

    def _begin(self) -> None:
        self._scheduler = schedule.Scheduler()
        for name, when in self._times.items():
            if _TIME.fullmatch(when):
                job = self._scheduler.every().day.at(when)
            else:
                job = self._scheduler.every(max(1, round(seconds(when)))).seconds
            job.do(partial(self._run, name))
        self._offset = time.time() - self._counter()
        self._unseen = set(self._times)  # of these nobody knows yet what was missed

    def run_due(self) -> None:
        """Run what is due now, one after the other.  ``run`` must not raise."""
        offset = time.time() - self._counter()
        if abs(offset - self._offset) > _JUMP:
            self._begin()
        self._scheduler.run_pending()
        for name, when in self._times.items():
            now = datetime.now().astimezone()
            stamp = self._stamp_of(name).believed(now.timestamp())
            retry = retry_at(stamp)
            missed = retry is None and name in self._unseen and was_missed(when, stamp, now)
            self._unseen.discard(name)
            if missed or (retry is not None and now.timestamp() >= retry):
                self._run(name)

    def next(self) -> dict[str, datetime | None]:
        """When each job is due next, by the clock alone."""
        found = {job.job_func.args[0]: job.next_run for job in self._scheduler.jobs if job.job_func}
        return {name: found.get(name) for name in self._times}
