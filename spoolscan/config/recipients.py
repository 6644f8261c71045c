"""The settings of ``[recipients]``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator

from spoolscan.config.kinds import Section
from spoolscan.nexthop.url import parse
from spoolscan.units import Count, Duration

_ASKED: Final = (
    "smtp://HOST:PORT, smtps://HOST:PORT, mx://DOMAIN, lmtp://HOST:PORT, lmtp:///PATH/OF/SOCKET"
)


def _url(value: object) -> object:
    if isinstance(value, str) and value:
        try:
            hop = parse(value)
            found = hop.options(lambda name: (name, ""))
        except ValueError as error:
            raise ValueError(f"{error}; allowed: {_ASKED}") from error
        if not hop.speaks or found.auth is not None:
            raise ValueError(f"it cannot be asked; allowed, without auth=: {_ASKED}")
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
