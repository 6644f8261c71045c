"""How an administrator writes durations and sizes in a settings file.

Durations are seconds, or a number with s, m, h or d ("5d"); sizes are bytes, or a number with K, M
or G ("50M", powers of 1024); rates are a count within a duration ("600/1m").  The types below are
for fields that pydantic checks.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, NamedTuple

from pydantic import BeforeValidator, Field, PlainSerializer

from spoolscan.durations import UNITS, seconds

_SIZES: Final = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


class Rate(NamedTuple):
    """So many within so many seconds."""

    tokens: int
    seconds: float


def _duration(value: object) -> object:
    return seconds(value) if isinstance(value, str) else value


def _size(value: object) -> object:
    if isinstance(value, str):
        found = re.fullmatch(r"(\d+)\s*([KMG]?)", value.strip(), re.IGNORECASE)
        if found is None:
            raise ValueError('allowed: bytes as a number, or "500K", "50M", "2G"')
        return int(found[1]) * _SIZES[found[2].upper()]
    return value


def _spelled(rate: Rate | None) -> str:
    return "none" if rate is None else f"{rate.tokens}/{rate.seconds:.0f}s"


def _rate(value: object) -> object:
    if value is None or value == "none" or isinstance(value, Rate):
        return None if value == "none" else value
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})([smhd])", str(value).replace(" ", ""))
    if found is None or not int(found[1]) or not int(found[2]):
        raise ValueError('allowed: a count in a time such as "600/1m", or "none"')
    return Rate(int(found[1]), float(found[2]) * UNITS[found[3]])


Duration = Annotated[
    float, BeforeValidator(_duration), Field(ge=0, allow_inf_nan=False, strict=True)
]
Size = Annotated[int, BeforeValidator(_size), Field(ge=0, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
MaybeRate = Annotated[  # None: no limit
    Rate | None, BeforeValidator(_rate), PlainSerializer(_spelled, when_used="json")
]
