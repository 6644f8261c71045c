"""The settings of ``[quarantine]``."""

from __future__ import annotations

from spoolscan.config.kinds import Section
from spoolscan.units import Duration, Size


class Quarantine(Section):
    """How long what was set aside is kept."""

    keep: Duration = 60 * 86400.0
    size: Size = 0
