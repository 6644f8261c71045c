"""The name of a peer's address, confirmed: PTR, and back by A or AAAA to the same address.

Never raises and never takes longer than it was given: without an answer there is no name.  Private
and loopback addresses are not asked about.
"""

from __future__ import annotations

import asyncio
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.resolver

from spoolscan.receiver.address import is_domain
from spoolscan.receiver.policy import IPAddress

_NAMES: Final = 4  # an address may have hundreds of names; a host that is one of ours has one
_CACHED: Final = 5000


class ReverseNames:
    """``seconds`` bound a whole lookup.  ``resolver`` is the system's where none is given."""

    def __init__(self, seconds: float, resolver: dns.asyncresolver.Resolver | None = None) -> None:
        self._seconds = seconds
        self._resolver = resolver or _system_resolver()

    async def name_of(self, address: IPAddress) -> str:
        """The peer's name in lower case, without a trailing dot; "" for none."""
        if self._resolver is None or not address.is_global:
            return ""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._confirmed(self._resolver, address)
        except Exception:  # whatever it was, no message waits for a name
            return ""

    async def _confirmed(self, resolver: dns.asyncresolver.Resolver, address: IPAddress) -> str:
        kind = "A" if address.version == 4 else "AAAA"
        answer = await resolver.resolve_address(str(address), lifetime=self._seconds, search=False)
        for record in list(answer)[:_NAMES]:
            name = record.target.to_text(omit_final_dot=True).lower()
            if not is_domain(name):
                continue
            try:
                back = await resolver.resolve(
                    record.target, kind, lifetime=self._seconds, search=False
                )
            except dns.exception.DNSException:
                continue
            if any(found.address == str(address) for found in back):
                return str(name)
        return ""


def _system_resolver() -> dns.asyncresolver.Resolver | None:
    try:
        resolver = dns.asyncresolver.Resolver()
    except dns.exception.DNSException:  # no /etc/resolv.conf: mail flows, without names
        return None
    resolver.cache = dns.resolver.LRUCache(_CACHED)
    return resolver
