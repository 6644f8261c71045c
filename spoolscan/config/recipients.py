"""The settings of ``[recipients]``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator

from spoolscan.config.kinds import Section
from spoolscan.receiver.target import parse_target
from spoolscan.units import Count, Duration


def _url(value: object) -> object:
    if isinstance(value, str) and value:
        parse_target(value)
    return value


def _delimiter(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[+=_#~/-]{0,5}", value):
        raise ValueError('allowed: characters such as "+" or "+-", or "" for none')
    return value


class Recipients(Section):
    """Who of our domains exists."""

    check: Literal["none", "list", "callout"] = "none"
    delimiter: Annotated[str, BeforeValidator(_delimiter)] = "+"
    file: Path = Path("etc/recipients")
    ask: Annotated[str, BeforeValidator(_url)] = ""
    unreachable: Literal["defer", "accept"] = "defer"
    timeout: Duration = 10.0
    connections: Count = 4
    yes: Duration = 7 * 86_400.0
    refresh: Duration = 86_400.0
    no: Duration = 3600.0
    remembered: Count = 20_000
