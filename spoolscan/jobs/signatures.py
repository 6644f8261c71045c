"""``sigupdate``: every source of signatures asked, and the administrator told what came of it."""

from __future__ import annotations

import logging

from spoolscan import log
from spoolscan.jobs.contract import Context
from spoolscan.notices import Notifier, Templates
from spoolscan.signatures.update import Outcome, update


def run(context: Context) -> str:
    """Raises TemporaryFailure, ConfigError; one source's trouble is no failure of the job."""
    settings = context.settings
    outcomes = update(settings, context.spool, context.now.timestamp())
    for outcome in outcomes:
        if outcome.trouble:
            reason = outcome.trouble
            log.event(
                "jobs", "-", logging.WARNING, event="signatures", name=outcome.name, reason=reason
            )
    if settings.notices.administrator and any(outcome.is_news for outcome in outcomes):
        templates = Templates(settings.template_folders())
        troubled = [outcome.name for outcome in outcomes if outcome.trouble]
        Notifier(context.spool, templates, settings.site.hostname).send(
            "signatures.txt", settings.site.administrator, outcomes=outcomes, troubled=troubled
        )
    return _said(outcomes)


def _said(outcomes: list[Outcome]) -> str:
    if not outcomes:
        return "nobody to ask: no clamd, and no [[signatures.source]]"
    return "; ".join(f"{outcome.name}: {_state(outcome)}" for outcome in outcomes)


def _state(outcome: Outcome) -> str:
    if outcome.trouble:
        return f"trouble: {outcome.trouble}"
    return "new" if outcome.is_new else "as it was"
