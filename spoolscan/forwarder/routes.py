"""From a URL to a route: the seam of the forwarder.

==============================  ================================================================
``smtp://HOST[:PORT]``          SMTP to that host (port 25)
``smtps://HOST[:PORT]``         the same inside TLS from the first byte (port 465)
``mx:``                         SMTP to the hosts of each recipient's own domain
``mx://[DOMAIN][:PORT]``        SMTP to the hosts of that domain, or to another port of theirs
``lmtp://HOST[:PORT]``          LMTP over TCP (port 24)
``lmtp:///PATH/OF/SOCKET``      LMTP over a unix socket
``maildir:/PATH``               a maildir, made when it is not there
``pipe:/PROGRAM WORDS ...``     a command, see pipe.py
==============================  ================================================================

What may follow as ``?tls=verify&auth=FILE`` is in options.py; ``mx:`` also takes ``local=yes``, for
hosts with addresses of this one.  A new route is a class with the two methods of `delivery.Route`,
a line in `MAKERS`, and a line in tests/contracts/test_routes.py, whose suite it must pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, unquote, urlsplit

from spoolscan import config
from spoolscan.errors import ConfigError
from spoolscan.forwarder import options
from spoolscan.forwarder.connection import Address
from spoolscan.forwarder.delivery import Route
from spoolscan.forwarder.maildir import MaildirRoute
from spoolscan.forwarder.options import Options
from spoolscan.forwarder.pipe import PipeRoute
from spoolscan.forwarder.schedule import Throttle
from spoolscan.forwarder.several import Member, Several
from spoolscan.forwarder.smtp import SmtpRoute
from spoolscan.forwarder.table import Line

if TYPE_CHECKING:
    from spoolscan.forwarder.resolve import Host, Lookup

ALLOWED: Final = (
    "smtp://HOST:PORT, lmtp://HOST:PORT, lmtp:///PATH/OF/SOCKET, smtps://HOST:PORT, mx:,"
    " maildir:/PATH or pipe:/PROGRAM WORDS"
)
_LARGEST_SECRET: Final = 4096


def make(url: str, hostname: str, settings: config.Forwarder) -> Route:
    """One route with paths that are absolute.  Raises ConfigError; opens nothing."""
    return Maker(hostname, settings).make(url)


def for_domain(url: str) -> bool:
    """Whether each domain has a route of its own by it."""
    return url.startswith("mx:") and not domain_of_url(url)


def domain_of_url(url: str) -> str:
    """The domain whose hosts an ``mx://DOMAIN`` means; "" for none."""
    return (_split(url).hostname or "") if url.startswith("mx:") else ""


class Maker:
    """Makes routes.  ``hostname`` is what we call ourselves, ``root`` where paths start."""

    def __init__(self, hostname: str, settings: config.Forwarder, root: Path = Path("/")) -> None:
        self.hostname = hostname
        self.settings = settings
        self.root = root

    def make(self, url: str, domain: str = "") -> Route:
        """``domain`` is the recipients', for ``mx:``.  Raises ConfigError; opens nothing."""
        try:
            if not url.isprintable():
                raise ValueError("a character that cannot be printed")
            if url.startswith("pipe:"):
                return PipeRoute(url, url.removeprefix("pipe:"), self.settings.timeouts)
            parts = _split(url)
            if parts.fragment or parts.username is not None:
                raise ValueError("only host, port, path and options are understood")
            return MAKERS[parts.scheme](self, _Order(url, parts, domain))
        except (KeyError, ValueError) as error:
            why = "unknown scheme" if isinstance(error, KeyError) else str(error)
            raise ConfigError(f"next hop {url!r}: {why}; allowed: {ALLOWED}") from error

    def make_line(self, line: Line, domain: str) -> Route:
        """All next hops of a line of the table, as one.  Raises ConfigError."""
        made = [self.make(url, domain) for url in line.urls]
        if len(made) == 1:
            return made[0]
        return Several(str(line), [self.member(route) for route in made], balance=line.balance)

    def member(self, route: Route) -> Member:
        """A route that others stand beside."""
        settings = self.settings
        throttle = Throttle(settings.concurrency, settings.pause, settings.longest_pause)
        return Member(route, throttle)

    @cached_property
    def lookup(self) -> Lookup:
        """Raises ConfigError where there is no name server."""
        from spoolscan.forwarder.resolve import Lookup  # noqa: PLC0415 - DNS is for mx: alone

        settings = self.settings
        return Lookup(self.hostname, settings.timeouts.lookup, settings.nameservers)

    def path(self, name: str) -> Path:
        """A path in a URL or one of its options."""
        return self.root / name

    def options(self, order: _Order) -> Options:
        """Raises ValueError, ConfigError."""
        if not order.parts.query:
            return Options(tls="encrypt", implicit=True) if order.is_implicit else Options()
        found = options.parse(order.parts.query, self._secret, implicit=order.is_implicit)
        if found.ca and not self.path(found.ca).is_file():
            raise ConfigError(f"{self.path(found.ca)}: not there; ca= names a file of CAs in PEM")
        return replace(found, ca=str(self.path(found.ca)) if found.ca else "")

    def _secret(self, name: str) -> tuple[str, str]:
        path = self.path(name)
        try:
            with path.open("rb") as file:
                text = file.read(_LARGEST_SECRET).decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise ConfigError(f"{path}: {why}; auth= names a file of two lines") from error
        user, _, rest = text.partition("\n")
        word = rest.partition("\n")[0]
        if not user.strip() or not word.strip() or path.stat().st_mode & 0o077:
            raise ConfigError(
                f"{path}: user and password, one a line, and mode 0600 are needed here"
            )
        return user.strip(), word.rstrip("\r")


@dataclass(frozen=True, slots=True)
class _Order:
    """A URL that a route is to be made of."""

    url: str
    parts: SplitResult
    domain: str = ""

    @property
    def is_implicit(self) -> bool:
        return self.parts.scheme == "smtps"

    def no_options(self) -> None:
        if self.parts.query:
            raise ValueError("no options are understood here")


def _split(url: str) -> SplitResult:
    """As urlsplit, which takes brackets only around IPv6.  Raises ValueError."""
    return urlsplit(re.sub(r"^([a-z]+://)\[([0-9.]+)\]", r"\1\2", url))


def _smtp(maker: Maker, order: _Order) -> Route:
    address = _tcp(order.parts, 465 if order.is_implicit else 25)
    return _client(maker, order.url, address, maker.options(order))


def _lmtp(maker: Maker, order: _Order) -> Route:
    parts = order.parts
    address = _tcp(parts, 24) if parts.netloc else Address(path=_path(parts))
    return _client(maker, order.url, address, maker.options(order), lmtp=True)


def _client(
    maker: Maker,
    name: str,
    address: Address,
    words: Options,
    *,
    lmtp: bool = False,
) -> Route:
    return SmtpRoute(name, address, maker.hostname, maker.settings, words, lmtp=lmtp)


def _mx(maker: Maker, order: _Order) -> Route:
    from spoolscan.forwarder.mx import MxRoute  # noqa: PLC0415 - DNS is for mx: alone

    parts = order.parts
    if parts.path not in ("", "/") or parts.port == 0:
        raise ValueError("a domain, a port, both or none are understood")
    query = parts.query.split("&") if parts.query else []
    local = "local=yes" in query
    rest = "&".join(word for word in query if word != "local=yes")
    words = maker.options(replace(order, parts=parts._replace(query=rest)))
    domain = parts.hostname or order.domain
    name = order.url if parts.hostname or not domain else f"{order.url} {domain}"

    def to(host: Host) -> Member:
        address = Address(host=host.address, port=parts.port or 25)
        named = replace(words, name=words.name or host.name)
        return maker.member(_client(maker, f"smtp://{address}", address, named))

    return MxRoute(name, domain, maker.lookup, to, local=local)


def _maildir(maker: Maker, order: _Order) -> Route:
    if order.parts.netloc:
        raise ValueError("a maildir has a path and no host")
    order.no_options()
    relative = unquote(order.parts.path)
    if maker.root == Path("/") and not relative.startswith("/"):
        raise ValueError("an absolute path is needed")
    path = str(maker.path(relative)) if relative else ""
    return MaildirRoute(order.url, _absolute(path), maker.hostname)


MAKERS: Final[Mapping[str, Callable[[Maker, _Order], Route]]] = MappingProxyType(
    {"smtp": _smtp, "smtps": _smtp, "mx": _mx, "lmtp": _lmtp, "maildir": _maildir}
)


def _tcp(parts: SplitResult, default: int) -> Address:
    port = default if parts.port is None else parts.port
    if not parts.hostname or parts.path not in ("", "/") or port == 0:
        raise ValueError("a host and a port from 1 to 65535 are needed")
    return Address(host=parts.hostname, port=port)


def _path(parts: SplitResult) -> str:
    return _absolute(unquote(parts.path))


def _absolute(path: str) -> str:
    if not path.startswith("/") or "\0" in path or path == "/":
        raise ValueError("an absolute path is needed")
    return path
