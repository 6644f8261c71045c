"""Forget what is older than the settings keep."""

from __future__ import annotations

from spoolscan import journal
from spoolscan.jobs.contract import Context


def run(context: Context) -> str:
    """Rows of the journal.  Raises TemporaryFailure."""
    settings = context.settings
    if not settings.journal.enabled:
        return "nothing is kept"
    before = context.now.timestamp() - settings.journal.keep
    count = journal.expire(settings.path(journal.FILE), before)
    return f"{count} rows of the journal"
