"""All next hops that have something to do: which recipients go to which of them.

Lines of the table with the same next hops share them; by ``mx:`` each domain is a destination of
its own, so one that is down delays nobody else.  One that is idle is forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path

from spoolscan import config
from spoolscan.forwarder.hop import Hop
from spoolscan.forwarder.routes import Maker
from spoolscan.nexthop.read import Routes, routes
from spoolscan.nexthop.table import Line, domain_of
from spoolscan.nexthop.url import for_domain


def read_routes(settings: config.Config) -> Routes:
    """The table of a spool, every next hop in it tried out.  Raises ConfigError."""
    maker = maker_for(settings)
    maker.make(settings.next_hop)
    return routes(settings, maker.make, "forwarder")


def maker_for(settings: config.Config) -> Maker:
    """Makes routes as the settings of a spool say."""
    return Maker(settings.site.hostname, settings.forwarder, Path(settings.root))


def place_of(line: Line, address: str) -> tuple[str, str]:
    """A destination's name, and the domain that it is of by ``mx:``."""
    domain = domain_of(address) if any(map(for_domain, line.urls)) else ""
    return str(line), domain


class Destinations:
    """Hops, made when the first message for them comes."""

    def __init__(self, routes: Routes, maker: Maker) -> None:
        self._routes = routes
        self._table = routes.current()  # when `changed` was asked last
        self._maker = maker
        self._hops: dict[tuple[str, str], Hop] = {}

    def __iter__(self) -> Iterator[Hop]:
        return iter(list(self._hops.values()))

    def changed(self) -> bool:
        """Whether another table is in force since this was asked last; who waits may go by it."""
        before, self._table = self._table, self._routes.current()
        return self._table is not before

    def groups(self, pending: Iterable[tuple[int, str]]) -> dict[Hop, list[int]]:
        """Which next hop takes which recipients, of (index, forward-path).  Raises ConfigError."""
        found: dict[Hop, list[int]] = {}
        table = self._routes.current()
        for index, address in pending:
            found.setdefault(self._hop(table.find(address), address), []).append(index)
        return found

    async def forget_idle(self) -> None:
        """Let go of those that nothing goes to any more."""
        idle = [key for key, hop in self._hops.items() if hop.is_idle()]
        await asyncio.gather(*(self._hops.pop(key).route.close() for key in idle))

    async def close(self) -> None:
        """Let go of all."""
        await asyncio.gather(*(hop.route.close() for hop in self))

    def _hop(self, line: Line, address: str) -> Hop:
        place = place_of(line, address)
        if place not in self._hops:
            route = self._maker.make_line(line, place[1])
            self._hops[place] = Hop(route, self._maker.member(route).throttle)
        return self._hops[place]
