"""How much `limits` allows one address, and all of them together: the settings alone.

Apart from it, for every stage reads the settings, and one of them receives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from spoolscan.units import MaybeRate, Rate

_MAIL: Final = Rate(600, 60.0)
_RECIPIENTS: Final = Rate(6000, 60.0)
_ERRORS: Final = Rate(300, 600.0)


@dataclass(frozen=True, slots=True)
class Rates:
    """What is allowed; None for no limit."""

    # The settings file is checked by pydantic, which is told here that there is nothing else.
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    connections: MaybeRate = None
    messages: MaybeRate = None
    recipients: MaybeRate = None
    connections_per_address: MaybeRate = _MAIL
    messages_per_address: MaybeRate = _MAIL
    recipients_per_address: MaybeRate = _RECIPIENTS
    errors_per_address: MaybeRate = _ERRORS
