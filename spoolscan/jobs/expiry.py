"""Forget what is older, or more, than the settings keep; what lies in hold/ is never touched.

Nothing is old at a run that comes long after the last one: then the clock has leapt, or we were
down for months.  Who sees to it before the next run, a day later, loses nothing by it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from spoolscan import journal, quarantine
from spoolscan.jobs.contract import Context

_LONG: Final = 40 * 86_400.0  # seconds from one run to the next; no cron is that slow


def run(context: Context) -> str:
    """Messages of the quarantine, rows of the journal.  Raises TemporaryFailure."""
    settings, now, last = context.settings, context.now.timestamp(), context.stamp.done
    leapt = bool(last) and now - last > _LONG
    day = f"{context.now - timedelta(seconds=settings.quarantine.keep):%Y-%m-%d}"
    count, size = quarantine.expire(context.spool, "" if leapt else day, settings.quarantine.size)
    rows = 0
    if settings.journal.enabled and not leapt:
        rows = journal.expire(settings.path(journal.FILE), now - settings.journal.keep)
    said = f"{count} messages of the quarantine ({size} bytes), {rows} rows of the journal"
    if leapt:
        days = (now - last) / 86_400
        said += f"; none for its age, for the last run was {days:.0f} days ago: is the clock right?"
    return said
