"""How an administrator writes durations and sizes in a settings file.

Durations are seconds, or a number with s, m, h or d ("5d"); sizes are bytes, or a number with K, M
or G ("50M", powers of 1024).  The types below are for fields that pydantic checks.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES: Final = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


def _duration(value: object) -> object:
    if isinstance(value, str):
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", value.strip())
        if found is None:
            raise ValueError('allowed: seconds as a number, or "90s", "5m", "2h", "5d"')
        return float(found[1]) * _UNITS[found[2]]
    return value


def seconds(text: str) -> float:
    """A duration as an administrator writes it.  Raises ValueError."""
    value = _duration(text if not text.isdecimal() else f"{text}s")
    assert isinstance(value, float)  # noqa: S101 - of a word it makes a number or raises
    return value


def _size(value: object) -> object:
    if isinstance(value, str):
        found = re.fullmatch(r"(\d+)\s*([KMG]?)", value.strip(), re.IGNORECASE)
        if found is None:
            raise ValueError('allowed: bytes as a number, or "500K", "50M", "2G"')
        return int(found[1]) * _SIZES[found[2].upper()]
    return value


Duration = Annotated[
    float, BeforeValidator(_duration), Field(ge=0, allow_inf_nan=False, strict=True)
]
Size = Annotated[int, BeforeValidator(_size), Field(ge=0, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
