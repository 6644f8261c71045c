"""A next hop's URL.

==============================  ================================================================
``smtp://HOST[:PORT]``          SMTP to that host (port 25)
``smtps://HOST[:PORT]``         the same inside TLS from the first byte (port 465)
``mx:``                         SMTP to the hosts of each recipient's own domain
``mx://[DOMAIN][:PORT]``        SMTP to the hosts of that domain, or to another port of theirs
``lmtp://HOST[:PORT]``          LMTP over TCP (port 24)
``lmtp:///PATH/OF/SOCKET``      LMTP over a unix socket
``maildir:/PATH``               a maildir, made when it is not there
``pipe:/PROGRAM WORDS ...``     a command
==============================  ================================================================

What may follow as ``?tls=verify&auth=FILE`` is in options.py; ``mx:`` also takes ``local=yes``, for
hosts with addresses of this one.  No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from spoolscan.nexthop import options
from spoolscan.nexthop.options import Options

ALLOWED: Final = (
    "smtp://HOST:PORT, lmtp://HOST:PORT, lmtp:///PATH/OF/SOCKET, smtps://HOST:PORT, mx:,"
    " maildir:/PATH or pipe:/PROGRAM WORDS"
)
_PORTS: Final[Mapping[str, int]] = MappingProxyType(
    {"smtp": 25, "smtps": 465, "mx": 25, "lmtp": 24}
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a next hop listens: host and port, or the path of a unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def pair(self) -> tuple[str, int]:
        return self.host, self.port

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.path or f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class NextHop:
    """What a URL says.

    ``address`` is that of SMTP and LMTP; of ``mx`` the domain, "" for each recipient's own, and a
    port.  ``words`` are the path of a maildir, or a command.
    """

    url: str
    scheme: str
    address: Address = Address()
    words: str = ""
    query: str = ""
    local: bool = False  # mx: hosts may have addresses of this one

    @property
    def speaks(self) -> bool:
        """By SMTP or LMTP, so that it can be asked something."""
        return self.scheme in _PORTS

    @property
    def lmtp(self) -> bool:
        return self.scheme == "lmtp"

    def options(self, secret: Callable[[str], tuple[str, str]]) -> Options:
        """``secret`` reads user and password from the file named.  Raises as `options.parse`."""
        implicit = self.scheme == "smtps"
        if not self.query:
            return Options(tls="encrypt", implicit=True) if implicit else Options()
        return options.parse(self.query, secret, implicit=implicit)


def parse(url: str) -> NextHop:
    """Raises ValueError with what is wrong."""
    if not url.isprintable():
        raise ValueError("a character that cannot be printed")
    if url.startswith("pipe:"):
        return NextHop(url, "pipe", words=url.removeprefix("pipe:"))
    # urlsplit takes brackets only around IPv6.
    parts = urlsplit(re.sub(r"^([a-z]+://)\[([0-9.]+)\]", r"\1\2", url))
    if parts.fragment or parts.username is not None:
        raise ValueError("only host, port, path and options are understood")
    if parts.scheme == "maildir":
        return _maildir(url, parts)
    if parts.scheme not in _PORTS:
        raise ValueError("unknown scheme")
    if parts.scheme == "mx":
        return _mx(url, parts)
    if parts.scheme == "lmtp" and not parts.netloc:
        address = Address(path=absolute(unquote(parts.path)))
    else:
        address = _tcp(parts)
    return NextHop(url, parts.scheme, address, query=parts.query)


def for_domain(url: str) -> bool:
    """Whether each domain has a route of its own by it."""
    return url.startswith("mx:") and not parse(url).address.host


def absolute(path: str) -> str:
    """Raises ValueError."""
    if not path.startswith("/") or "\0" in path or path == "/":
        raise ValueError("an absolute path is needed")
    return path


def _tcp(parts: SplitResult) -> Address:
    port = _PORTS[parts.scheme] if parts.port is None else parts.port
    if not parts.hostname or parts.path not in ("", "/") or port == 0:
        raise ValueError("a host and a port from 1 to 65535 are needed")
    return Address(host=parts.hostname, port=port)


def _mx(url: str, parts: SplitResult) -> NextHop:
    if parts.path not in ("", "/") or parts.port == 0:
        raise ValueError("a domain, a port, both or none are understood")
    query = parts.query.split("&") if parts.query else []
    rest = "&".join(word for word in query if word != "local=yes")
    address = Address(parts.hostname or "", parts.port or _PORTS["mx"])
    return NextHop(url, "mx", address, query=rest, local="local=yes" in query)


def _maildir(url: str, parts: SplitResult) -> NextHop:
    if parts.netloc:
        raise ValueError("a maildir has a path and no host")
    if parts.query:
        raise ValueError("no options are understood here")
    return NextHop(url, "maildir", words=unquote(parts.path))
