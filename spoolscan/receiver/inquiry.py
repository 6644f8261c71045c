"""Whom to ask about an address: the next hops that its mail would be given to, by etc/routes.

They are asked as the forwarder goes to them: the hosts of a line, or of a domain by MX, in their
order, the second only where the first is not there.  What one that is there says is the answer, and
where that is none, nobody else is asked: another host may say no to those it does not know yet.

A maildir and a command cannot be asked, nor is a next hop that wants a password (``auth=``): what
stands at the Internet's edge holds none.  Where it would be their turn, there is nobody to ask.

Never raises.  Bounded in time: three times what one question may take, for all hosts together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Final

from spoolscan import config
from spoolscan.errors import ConfigError, SpoolscanError, TemporaryFailure
from spoolscan.nexthop import read
from spoolscan.nexthop.options import Options
from spoolscan.nexthop.resolve import Lookup
from spoolscan.nexthop.table import Table, domain_of
from spoolscan.nexthop.url import ALLOWED, NextHop, parse
from spoolscan.receiver.answers import Answer
from spoolscan.receiver.callout import Callout
from spoolscan.receiver.probe import WORDS, Place
from spoolscan.receiver.reply import printable

_TIMES: Final = 3
_CALLOUTS: Final = 100  # next hops that are remembered


class Inquiry:
    """One for a receiver."""

    def __init__(self, settings: config.Config) -> None:
        """Raises ConfigError where etc/routes cannot be used, or nobody in it can be asked."""
        self._settings = settings
        self._table = _table(settings)
        self._callouts: dict[Place, Callout] = {}
        _check(settings.next_hop)
        if not any(map(can_be_asked, (url for line in self._table().lines for url in line.urls))):
            raise ConfigError(
                f"{settings.path(config.FILE)}: recipients.ask: {settings.forwarder.next_hop}"
                " cannot be asked about recipients, nor anybody in etc/routes; allowed:"
                " smtp://HOST:PORT, lmtp://HOST:PORT, lmtp:///PATH/OF/SOCKET"
            )

    async def ask(self, address: str) -> Answer | None:
        """None where there is nobody to ask.  ``address`` as `address.Path` has it."""
        try:
            async with asyncio.timeout(_TIMES * self._settings.recipients.timeout):
                return await self._ask(address)
        except TimeoutError:
            return Answer(address, None, "no next hop answered in time")
        except SpoolscanError as error:
            return Answer(address, None, printable(str(error), WORDS))

    def close(self) -> None:
        """Hang up wherever nothing is being asked."""
        while self._callouts:
            self._callouts.popitem()[1].close()

    async def _ask(self, address: str) -> Answer | None:
        """Raises ConfigError, and PermanentFailure where a domain has no hosts."""
        whys: list[str] = []
        for url in self._table().find(address).urls:
            if not can_be_asked(url):
                return None
            try:
                places = await self._places(parse(url), domain_of(address))
            except TemporaryFailure as error:
                whys.append(str(error))
                continue
            for place in places:
                callout = self._callout(place)
                answer = await callout.ask(address)
                if answer.known is not None or not callout.rests:
                    return answer
                whys.append(answer.words)
        return Answer(address, None, printable("; ".join(whys), WORDS))

    async def _places(self, hop: NextHop, domain: str) -> list[Place]:
        """Raises ConfigError, and TemporaryFailure or PermanentFailure as `Lookup.hosts`."""
        words = hop.options(_no_secret)
        if words.ca:
            words = replace(words, ca=str(self._settings.path(words.ca)))
        if hop.scheme != "mx":
            return [Place(hop.address, hop.lmtp, words)]
        hosts = await self._lookup.hosts(hop.address.host or domain, local=hop.local)
        return [
            Place(
                replace(hop.address, host=host.address),
                options=replace(words, name=words.name or host.name),
            )
            for host in hosts
        ]

    def _callout(self, place: Place) -> Callout:
        """Raises ConfigError."""
        if place not in self._callouts:
            chosen = self._settings.recipients
            while len(self._callouts) >= _CALLOUTS:
                self._callouts.pop(next(iter(self._callouts))).close()
            self._callouts[place] = Callout(
                place, self._settings.site.hostname, chosen.timeout, chosen.connections
            )
        return self._callouts[place]

    @cached_property
    def _lookup(self) -> Lookup:
        """Raises ConfigError where there is no name server."""
        settings = self._settings
        return Lookup(
            settings.site.hostname, settings.recipients.timeout, settings.forwarder.nameservers
        )


def can_be_asked(url: str) -> bool:
    """Of a URL that was checked."""
    hop = parse(url)
    return hop.speaks and hop.options(_no_secret).auth is None


def _table(settings: config.Config) -> Callable[[], Table]:
    """All by ``ask``, or etc/routes as it is now.  Raises ConfigError."""
    if settings.recipients.ask:
        fixed = Table([], settings.recipients.ask)
        return lambda: fixed
    return read.routes(settings, _check, "receiver").current


def _check(url: str) -> Options | None:
    """Raises ConfigError."""
    try:
        hop = parse(url)
        return hop.options(_no_secret) if hop.speaks else None
    except ValueError as error:
        raise ConfigError(f"next hop {url!r}: {error}; allowed: {ALLOWED}") from error


def _no_secret(name: str) -> tuple[str, str]:
    """Passwords are not read here."""
    return name, ""
