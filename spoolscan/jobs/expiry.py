"""Forget what is older, or more, than the settings keep; what lies in hold/ is never touched."""

from __future__ import annotations

from datetime import timedelta

from spoolscan import journal, quarantine
from spoolscan.jobs.contract import Context


def run(context: Context) -> str:
    """Messages of the quarantine, rows of the journal.  Raises TemporaryFailure."""
    settings = context.settings
    before = f"{context.now - timedelta(seconds=settings.quarantine.keep):%Y-%m-%d}"
    count, size = quarantine.expire(context.spool, before, settings.quarantine.size)
    rows = 0
    if settings.journal.enabled:
        earlier = context.now.timestamp() - settings.journal.keep
        rows = journal.expire(settings.path(journal.FILE), earlier)
    return f"{count} messages of the quarantine ({size} bytes), {rows} rows of the journal"
