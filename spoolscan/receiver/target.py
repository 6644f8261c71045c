"""Whom to ask about recipients: the words of a URL.

``smtp://HOST[:PORT]``, ``lmtp://HOST[:PORT]`` or ``lmtp:///PATH/OF/SOCKET``; what follows a ``?``
is for the forwarder, and says nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

ALLOWED: Final = "smtp://HOST:PORT, lmtp://HOST:PORT or lmtp:///PATH/OF/SOCKET"
_PORTS: Final = {"smtp": 25, "lmtp": 24}


@dataclass(frozen=True, slots=True)
class Target:
    """Either host and port, or the path of a unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""
    lmtp: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.path or f"{host}:{self.port}"


def parse_target(url: str) -> Target:
    """Raises ValueError."""
    parts = urlsplit(url)
    port, lmtp = parts.port, parts.scheme == "lmtp"
    if parts.scheme in _PORTS and url.isprintable() and parts.username is None:
        if parts.hostname and parts.path in ("", "/") and port != 0:
            return Target(parts.hostname, port or _PORTS[parts.scheme], lmtp=lmtp)
        path = unquote(parts.path)
        if lmtp and not parts.netloc and path.strip("/") and "\0" not in path:
            return Target(path=path, lmtp=True)
    raise ValueError(f"allowed: {ALLOWED}")
