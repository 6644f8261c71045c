"""How an administrator writes a duration: a number with s, m, h or d ("5d").

Apart from `spoolscan.units`, for a command that only looks shall not wait until pydantic is loaded.
"""

from __future__ import annotations

import re
from typing import Final

UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}  # seconds


def seconds(text: str) -> float:
    """A duration as it is written.  Raises ValueError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip())
    if found is None:
        raise ValueError('allowed: seconds as a number, or "90s", "5m", "2h", "5d"')
    return float(found[1]) * UNITS[found[2]]
