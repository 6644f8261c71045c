"""The route to a domain's own mail exchangers, found anew for each message (the answers are cached
for as long as the name servers allow).
"""

from __future__ import annotations

from collections.abc import Callable

from spoolscan.errors import TemporaryFailure
from spoolscan.forwarder import several
from spoolscan.forwarder.delivery import Fate, Mail, NextHopDown, Outcome, Settle
from spoolscan.forwarder.several import Member
from spoolscan.nexthop.resolve import Host, Lookup, NoWay


class MxRoute:
    """Delivers to the hosts of ``domain``; ``make`` gives the route to one of them."""

    def __init__(
        self,
        name: str,
        domain: str,
        lookup: Lookup,
        make: Callable[[Host], Member],
        *,
        local: bool = False,
    ) -> None:
        """``local``: hosts may have addresses of this host."""
        self.name = name
        self._domain = domain
        self._lookup = lookup
        self._make = make
        self._local = local
        self._members: dict[Host, Member] = {}

    async def deliver(self, mail: Mail, settle: Settle) -> None:
        """See `Route.deliver`."""
        try:
            hosts = await self._lookup.hosts(self._domain, local=self._local)
        except NoWay as error:
            no = Outcome(Fate.REFUSED, error.status, str(error))
            await settle({index: no for index, _ in mail.recipients})
            return
        except TemporaryFailure as error:
            raise NextHopDown(str(error)) from error
        await self._leave(set(self._members) - set(hosts))
        for host in hosts:
            if host not in self._members:
                self._members[host] = self._make(host)
        await several.deliver([self._members[host] for host in hosts], mail, settle)

    async def close(self) -> None:
        """Let go of all of them."""
        await self._leave(set(self._members))

    async def _leave(self, gone: set[Host]) -> None:
        for member in [self._members.pop(host) for host in gone if host in self._members]:
            await member.route.close()
