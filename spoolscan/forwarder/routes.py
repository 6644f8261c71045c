"""From a URL to a route: the seam of the forwarder.

What a URL may be is in nexthop/url.py, what a command is in pipe.py.  A new route is a class with
the two methods of `delivery.Route`, a scheme there, a line in `MAKERS`, and a line in
tests/contracts/test_routes.py, whose suite it must pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from spoolscan import config
from spoolscan.errors import ConfigError
from spoolscan.forwarder.delivery import Route
from spoolscan.forwarder.maildir import MaildirRoute
from spoolscan.forwarder.pipe import PipeRoute
from spoolscan.forwarder.schedule import Throttle
from spoolscan.forwarder.several import Member, Several
from spoolscan.forwarder.smtp import SmtpRoute
from spoolscan.nexthop.options import Options
from spoolscan.nexthop.table import Line
from spoolscan.nexthop.url import ALLOWED, Address, NextHop, absolute, parse

if TYPE_CHECKING:
    from spoolscan.nexthop.resolve import Host, Lookup

_LARGEST_SECRET: Final = 4096


def make(url: str, hostname: str, settings: config.Forwarder) -> Route:
    """One route with paths that are absolute.  Raises ConfigError; opens nothing."""
    return Maker(hostname, settings).make(url)


class Maker:
    """Makes routes.  ``hostname`` is what we call ourselves, ``root`` where paths start."""

    def __init__(self, hostname: str, settings: config.Forwarder, root: Path = Path("/")) -> None:
        self.hostname = hostname
        self.settings = settings
        self.root = root

    def make(self, url: str, domain: str = "") -> Route:
        """``domain`` is the recipients', for ``mx:``.  Raises ConfigError; opens nothing."""
        try:
            hop = parse(url)
            return MAKERS[hop.scheme](self, hop, domain)
        except ValueError as error:
            raise ConfigError(f"next hop {url!r}: {error}; allowed: {ALLOWED}") from error

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
        from spoolscan.nexthop.resolve import Lookup  # noqa: PLC0415 - DNS is for mx: alone

        settings = self.settings
        return Lookup(self.hostname, settings.timeouts.lookup, settings.nameservers)

    def path(self, name: str) -> Path:
        """A path in a URL or one of its options."""
        return self.root / name

    def options(self, hop: NextHop) -> Options:
        """Raises ValueError, ConfigError."""
        found = hop.options(self._secret)
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


def _smtp(maker: Maker, hop: NextHop, domain: str) -> Route:  # noqa: ARG001 - a maker's signature
    return _client(maker, hop.url, hop.address, maker.options(hop), lmtp=hop.lmtp)


def _client(
    maker: Maker, name: str, address: Address, words: Options, *, lmtp: bool = False
) -> Route:
    return SmtpRoute(name, address, maker.hostname, maker.settings, words, lmtp=lmtp)


def _mx(maker: Maker, hop: NextHop, domain: str) -> Route:
    from spoolscan.forwarder.mx import MxRoute  # noqa: PLC0415 - DNS is for mx: alone

    words = maker.options(hop)
    named = hop.address.host
    name = hop.url if named or not domain else f"{hop.url} {domain}"

    def to(host: Host) -> Member:
        address = Address(host=host.address, port=hop.address.port)
        own = replace(words, name=words.name or host.name)
        return maker.member(_client(maker, f"smtp://{address}", address, own))

    return MxRoute(name, named or domain, maker.lookup, to, local=hop.local)


def _maildir(maker: Maker, hop: NextHop, domain: str) -> Route:  # noqa: ARG001 - a maker's signature
    if maker.root == Path("/"):
        absolute(hop.words)
    path = str(maker.path(hop.words)) if hop.words else ""
    return MaildirRoute(hop.url, absolute(path), maker.hostname)


def _pipe(maker: Maker, hop: NextHop, domain: str) -> Route:  # noqa: ARG001 - a maker's signature
    return PipeRoute(hop.url, hop.words, maker.settings.timeouts)


MAKERS: Final[Mapping[str, Callable[[Maker, NextHop, str], Route]]] = MappingProxyType(
    {
        "smtp": _smtp,
        "smtps": _smtp,
        "mx": _mx,
        "lmtp": _smtp,
        "maildir": _maildir,
        "pipe": _pipe,
    }
)
