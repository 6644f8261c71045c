"""The settings of ``[metrics]`` and of ``[log]``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator

from spoolscan.config.kinds import Section, host_port
from spoolscan.units import Duration


def _listen(value: object) -> object:
    if isinstance(value, str) and value:
        host_port(value)
    return value


class Metrics(Section):
    """Where a monitor may ask how we are."""

    listen: Annotated[str, BeforeValidator(_listen)] = ""
    waiting: Duration = 600.0


class Log(Section):
    """Where events go."""

    to: Literal["stderr", "syslog"] = "stderr"
