"""The seam of the jobs: what one is given, and what it answers.

A job that has done its work says so in a few words; one that could not raises a SpoolscanError,
is tried again, and the administrator is told.  Jobs block, and run one at a time in a thread; each
may be run by hand or by cron at any time, for its lock keeps it from running twice at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from spoolscan.config import Config
from spoolscan.jobs.stamps import Stamp
from spoolscan.spool import Spool


@dataclass(frozen=True, slots=True)
class Context:
    """``now`` has a time zone; ``stamp`` is what is known of the job's last run."""

    settings: Config
    spool: Spool
    now: datetime
    stamp: Stamp


Job = Callable[[Context], str]
