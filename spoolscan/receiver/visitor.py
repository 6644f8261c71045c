"""Who is at the other end of a connection: as its socket says, or a peer that speaks for another.

A load balancer says it once, before anything else (PROXY); a mail server that is trusted says it
when it likes (XCLIENT).  What follows from an address, its trust, its name, whom it is counted
against, follows from the one that is known now.
"""

from __future__ import annotations

import asyncio
import ipaddress

from spoolscan.receiver.attributes import Attributes
from spoolscan.receiver.client import Client
from spoolscan.receiver.limits import owner
from spoolscan.receiver.policy import IPAddress, Policy
from spoolscan.receiver.reverse import ReverseNames


class Visitor:
    """``address`` is None where there is none; ``local``: who came by a way of this host itself."""

    def __init__(
        self,
        policy: Policy,
        names: ReverseNames | None,
        address: IPAddress | None,
        *,
        local: bool = False,
    ) -> None:
        self.address = address
        self._policy = policy
        self._names = names
        self._local = local
        self._name: asyncio.Task[str | None] | None = None
        self._told_name = ""

    @property
    def trusted(self) -> bool:
        """Of the site's own networks, or of this host."""
        return self._local or self._policy.trusts(self.address)

    @property
    def owner(self) -> IPAddress | None:
        """Whom what it asks for is counted against; None for nobody."""
        return None if self.trusted else owner(self.address)

    def look_up(self) -> None:
        """Begin to ask for its name."""
        self.leave()
        if self._names is not None and self.address is not None:
            self._name = asyncio.create_task(self._names.name_of(self.address))

    async def client(self, helo: str, user: str, tls: str) -> Client:
        """What is known of it, once its name is."""
        name = await self._name if self._name is not None else self._told_name
        return Client(
            address=self.address,
            name=name or "",
            helo=helo,
            trusted=self.trusted,
            user=user,
            tls=tls,
            unsure=name is None,
        )

    def become(self, said: Attributes) -> None:
        """Another peer from now on; what was not said of it is as before."""
        if said.address is not None:
            self._local = False
            self._told_name = ""
            self.address = ipaddress.ip_address(said.address) if said.address else None
            self.look_up()
        if said.name is not None:
            self.leave()
            self._told_name = said.name

    def leave(self) -> None:
        """Its name is asked for no longer."""
        if self._name is not None:
            self._name.cancel()
            self._name = None
