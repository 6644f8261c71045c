"""The settings of ``[scanner]``; ``[bounds]`` are those of the reader itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spoolscan.config.kinds import Policy, Section
from spoolscan.units import Count, Duration, Size


class Scanner(Section):
    """How messages are judged, and what becomes of those that cannot be."""

    workers: int = Field(default=0, ge=0, le=256, strict=True)
    scan: Literal["suspicious", "all"] = "suspicious"
    attempts: Count = 3
    timeout: Duration = 300.0
    engines_timeout: Duration = 240.0
    canary: Annotated[Duration, Field(ge=1)] = 60.0
    retry: Duration = 10.0
    give_up: Duration = 5 * 86400.0
    passwords: str = "etc/passwords"
    limit: Literal["hold", "quarantine"] = "hold"
    unreadable: Policy = "hold"
    unopened: Policy = "hold"
    encrypted: Policy = "hold"
    unlocked: Literal["note", "hold", "quarantine"] = "note"
    sealed: Literal["note", "hold", "quarantine"] = "note"
    deceptive: Policy = "hold"
    ambiguous: Literal["note", "hold", "quarantine"] = "note"
    room: Literal["best", "required", "off"] = "best"
    user: str = "nobody"
    memory: Size = 1 << 30
