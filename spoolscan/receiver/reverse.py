"""The name of a peer's address, confirmed: PTR, and back by A or AAAA to the same address.

Never raises and never takes longer than it was given.  Private and loopback addresses are not asked
about.
"""

from __future__ import annotations

import asyncio
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.resolver
import dns.reversename

from spoolscan.receiver.address import is_domain
from spoolscan.receiver.policy import IPAddress

_NAMES: Final = 4  # an address may have hundreds of names; a host that is one of ours has one
_CACHED: Final = 5000


class ReverseNames:
    """``seconds`` bound a whole lookup.  ``resolver`` is the system's where none is given."""

    def __init__(self, seconds: float, resolver: dns.asyncresolver.Resolver | None = None) -> None:
        self._seconds = seconds
        self._resolver = resolver or _system_resolver()

    async def name_of(self, address: IPAddress) -> str | None:
        """The peer's name in lower case, without a trailing dot; "" for none.

        None where there was no answer, so that it may have one all the same.
        """
        if self._resolver is None or not address.is_global:
            return ""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._confirmed(self._resolver, address)
        except dns.resolver.NXDOMAIN:
            return ""
        except Exception:  # whatever it was, no message waits for a name
            return None

    async def _confirmed(self, resolver: dns.asyncresolver.Resolver, address: IPAddress) -> str:
        kind = "A" if address.version == 4 else "AAAA"
        answer = await resolver.resolve(
            dns.reversename.from_address(str(address)),
            "PTR",
            lifetime=self._seconds,
            search=False,
            raise_on_no_answer=False,
        )
        failure: dns.exception.DNSException | None = None
        for record in list(answer)[:_NAMES]:
            name = record.target.to_text(omit_final_dot=True).lower()
            if not is_domain(name):
                continue
            try:
                back = await resolver.resolve(
                    record.target, kind, lifetime=self._seconds, search=False
                )
            except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
                continue
            except dns.exception.DNSException as error:
                failure = error
                continue
            if any(found.address == str(address) for found in back):
                return str(name)
        if failure is not None:
            raise failure
        return ""


def _system_resolver() -> dns.asyncresolver.Resolver | None:
    try:
        resolver = dns.asyncresolver.Resolver()
    except dns.exception.DNSException:  # no /etc/resolv.conf: mail flows, without names
        return None
    resolver.cache = dns.resolver.LRUCache(_CACHED)
    return resolver
