"""From a URL to a route: the seam of the forwarder.

====================================  ============================================================
``smtp://HOST[:PORT]``                SMTP (port 25)
``lmtp://HOST[:PORT]``                LMTP over TCP (port 24)
``lmtp:///PATH/OF/SOCKET``            LMTP over a unix socket
``maildir:/PATH``                     a maildir, made when it is not there
====================================  ============================================================

A new route is a class with the two methods of `delivery.Route`, a line in `MAKERS`, and a line in
tests/contracts/test_routes.py, whose suite it must pass.  A table of domains belongs in
front of this (`etc/routes`), and the words for TLS and AUTH into the query of the URL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from spoolscan import config
from spoolscan.errors import ConfigError
from spoolscan.forwarder.connection import Address
from spoolscan.forwarder.delivery import Route
from spoolscan.forwarder.maildir import MaildirRoute
from spoolscan.forwarder.smtp import SmtpRoute

ALLOWED: Final = "smtp://HOST:PORT, lmtp://HOST:PORT, lmtp:///PATH/OF/SOCKET or maildir:/PATH"


def make(url: str, hostname: str, settings: config.Forwarder) -> Route:
    """``hostname`` is what we call ourselves.  Raises ConfigError; opens nothing."""
    try:
        parts = urlsplit(url)
        if parts.query or parts.fragment or parts.username is not None or not url.isprintable():
            raise ValueError("only host, port and path are understood")
        return MAKERS[parts.scheme](url, parts, hostname, settings)
    except (KeyError, ValueError) as error:
        why = "unknown scheme" if isinstance(error, KeyError) else str(error)
        raise ConfigError(f"next hop {url!r}: {why}; allowed: {ALLOWED}") from error


def _smtp(url: str, parts: SplitResult, hostname: str, settings: config.Forwarder) -> Route:
    return SmtpRoute(url, _tcp(parts, 25), hostname, settings)


def _lmtp(url: str, parts: SplitResult, hostname: str, settings: config.Forwarder) -> Route:
    if parts.netloc:
        return SmtpRoute(url, _tcp(parts, 24), hostname, settings, lmtp=True)
    return SmtpRoute(url, Address(path=_path(parts)), hostname, settings, lmtp=True)


def _maildir(url: str, parts: SplitResult, hostname: str, _: config.Forwarder) -> Route:
    if parts.netloc:
        raise ValueError("a maildir has a path and no host")
    return MaildirRoute(url, _path(parts), hostname)


MAKERS: Final[Mapping[str, Callable[[str, SplitResult, str, config.Forwarder], Route]]] = (
    MappingProxyType({"smtp": _smtp, "lmtp": _lmtp, "maildir": _maildir})
)


def _tcp(parts: SplitResult, default: int) -> Address:
    port = default if parts.port is None else parts.port
    if not parts.hostname or parts.path not in ("", "/") or port == 0:
        raise ValueError("a host and a port from 1 to 65535 are needed")
    return Address(host=parts.hostname, port=port)


def _path(parts: SplitResult) -> str:
    path = unquote(parts.path)
    if not path.startswith("/") or "\0" in path or path == "/":
        raise ValueError("an absolute path is needed")
    return path
