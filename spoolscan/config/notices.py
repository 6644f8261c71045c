"""The settings of ``[notices]``."""

from __future__ import annotations

from spoolscan.config.kinds import Section
from spoolscan.units import Count, Duration


class Notices(Section):
    """Which notices are sent."""

    administrator: bool = True
    sender: bool = False
    recipient: bool = False
    burst: Count = 10
    window: Duration = 600.0
    trouble: Duration = 30.0
