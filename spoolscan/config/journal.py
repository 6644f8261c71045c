"""The settings of ``[journal]``."""

from __future__ import annotations

from spoolscan.config.kinds import Section
from spoolscan.units import Duration


class Journal(Section):
    """What is written down of what happens."""

    enabled: bool = True
    keep: Duration = 90 * 86400.0
