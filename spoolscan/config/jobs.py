"""The settings of ``[jobs]``: when each is run."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

from spoolscan.config.kinds import Section
from spoolscan.durations import seconds

_LEAST = 10.0  # seconds between two runs


def _when(value: object) -> object:
    if isinstance(value, str) and value and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        try:
            if seconds(value) < _LEAST:
                raise ValueError
        except ValueError as error:
            raise ValueError(
                'allowed: a time of day such as "23:59", an interval from "10s" on, "" for never'
            ) from error
    return value


When = Annotated[str, BeforeValidator(_when)]


class Jobs(Section):
    """A time of day (local), an interval, or "" for never."""

    summary: When = "23:59"
    expiry: When = "03:15"
    signatures: When = "1h"

    def times(self) -> dict[str, str]:
        """By the job's name."""
        return {name: str(when) for name, when in self}
