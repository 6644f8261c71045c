"""The settings of ``[notices]``."""

from __future__ import annotations

from spoolscan.config.kinds import Section
from spoolscan.units import Duration


class Notices(Section):
    """Which notices are sent."""

    administrator: bool = True
    sender: bool = False
    trouble: Duration = 30.0
