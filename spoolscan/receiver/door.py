"""Where mail may come in: an address, and what is spoken there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["smtp", "smtps", "lmtp"]
KINDS: Final[tuple[Kind, ...]] = ("smtp", "smtps", "lmtp")


@dataclass(frozen=True, slots=True)
class Door:
    """``smtps`` is SMTP under TLS from the first byte on (RFC 8314).

    ``host`` is a path where ``port`` is None: a socket of this host itself, which file permissions
    guard.
    """

    kind: Kind
    host: str
    port: int | None

    @property
    def local(self) -> bool:
        return self.port is None

    def __str__(self) -> str:
        place = f"unix:{self.host}" if self.local else f"{self.host}:{self.port}"
        return place if self.kind == "smtp" else f"{place} ({self.kind})"
