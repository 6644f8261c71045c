"""The settings of ``[rules]``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from spoolscan.config.kinds import Section
from spoolscan.units import Duration


class RulesSettings(Section):
    """Who may send to whom."""

    file: Path = Path("etc/smtpd_check_rules")
    access: Path = Path("etc/access")
    delay: Annotated[Duration, Field(le=600)] = 20.0
