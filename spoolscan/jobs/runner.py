"""Runs one job: under its lock, with its stamp, its event, and a notice where it fails.

Two runs at the same time are harmless: the second finds the lock taken and does nothing.  The
administrator is told of the first failure in a row, and then once a day while they go on.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from spoolscan import log
from spoolscan.config import Config
from spoolscan.errors import SpoolscanError, TemporaryFailure
from spoolscan.jobs import stamps
from spoolscan.jobs.contract import Context, Job
from spoolscan.jobs.stamps import Stamp
from spoolscan.notices import Notifier, Templates
from spoolscan.spool import Spool

STAGE: Final = "jobs"
TEMPLATE: Final = "job.txt"
_TELL_AGAIN: Final = 86400.0  # seconds
_FIRST_RETRY: Final = 300.0
_LONGEST_RETRY: Final = 3600.0


def run(name: str, job: Job, settings: Config, spool: Spool, now: datetime | None = None) -> str:
    """What the job says it has done.  Raises SpoolscanError as the job did; that is told by then.

    A job that is running already raises TemporaryFailure, and nothing is told.
    """
    now = now or datetime.now(UTC).astimezone()
    with spool.lock(f"job-{name}"):
        stamp = stamps.read(spool, name, now.timestamp())
        began = time.monotonic()
        try:
            done = job(Context(settings, spool, now, stamp))
        except Exception as error:
            failure = _failure(name, error)
            _say(name, logging.ERROR, "failed", began, str(failure))
            _tell(name, failure, Context(settings, spool, now, stamp))
            raise failure from error
        _say(name, logging.INFO, "done", began, done)
        at = now.timestamp()
        stamps.write(spool, name, Stamp(tried=at, done=at))
        return done


def retry_at(stamp: Stamp) -> float | None:
    """When a job that failed is to be tried again; None where it did not fail."""
    if not stamp.failures:
        return None
    return stamp.tried + min(_FIRST_RETRY * stamp.failures, _LONGEST_RETRY)


def _failure(name: str, error: Exception) -> SpoolscanError:
    """What nobody foresaw is temporary, and says where it happened."""
    if isinstance(error, SpoolscanError):
        return error
    log.failure(STAGE, "-", error)
    return TemporaryFailure(f"job {name}: unexpected {type(error).__name__}: {log.safe(error)}")


def _say(name: str, level: int, result: str, began: float, words: str) -> None:
    log.event(
        STAGE, "-", level,
        event="job", name=name, result=result, said=words,
        seconds=round(time.monotonic() - began, 3),
    )  # fmt: skip


def _tell(name: str, failure: SpoolscanError, context: Context) -> None:
    settings, spool, stamp = context.settings, context.spool, context.stamp
    now = context.now.timestamp()
    tell = settings.notices.administrator and now - stamp.told >= _TELL_AGAIN
    failed = replace(stamp, tried=now, failures=stamp.failures + 1)
    failed = replace(failed, told=now) if tell else failed
    try:
        stamps.write(spool, name, failed)
        if tell:
            templates = Templates(settings.template_folders())
            Notifier(spool, templates, settings.site.hostname).send(
                TEMPLATE, settings.site.administrator, job=name, reason=str(failure)
            )
    except SpoolscanError as error:
        log.event(STAGE, "-", logging.ERROR, event="notice-failed", error=error)
