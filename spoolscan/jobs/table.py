"""All jobs, one line each; the settings of ``[jobs]`` have the same names."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from spoolscan.jobs import expiry, signatures
from spoolscan.jobs.contract import Job
from spoolscan.jobs.summary import report

JOBS: Final[Mapping[str, Job]] = MappingProxyType(
    {"summary": report.run, "expiry": expiry.run, "signatures": signatures.run}
)
