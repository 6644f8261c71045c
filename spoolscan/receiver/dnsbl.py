"""DNS lists of peers: what they say of one, weighed, and what a peer over the limit is told.

The lists are asked when a peer connects, and their answers awaited at its first recipient.  A list
without an answer weighs nothing.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from spoolscan import config
from spoolscan.envelope import xtext
from spoolscan.receiver.case import Fact
from spoolscan.receiver.listing import Listing, Zone, weigh
from spoolscan.receiver.lookups import Lookups
from spoolscan.receiver.policy import IPAddress
from spoolscan.receiver.reply import Reply, printable
from spoolscan.receiver.span import parse_span

_LONGEST: Final = 200  # characters of what a list says


class Blacklists:
    """The lists of the settings."""

    def __init__(self, settings: config.Dnsbl, lookups: Lookups) -> None:
        self._lookups = lookups
        self._threshold = settings.threshold
        self._exempt = tuple(map(ipaddress.ip_network, settings.exempt))
        self._zones = [
            Zone(
                zone.name, zone.label or zone.name, zone.weight, tuple(map(parse_span, zone.codes))
            )
            for zone in settings.zone
        ]

    def facts(self, address: IPAddress | None) -> dict[str, Fact]:
        """What has to be looked up, by zone; nothing for those who are never asked about."""
        if address is None or any(address in network for network in self._exempt):
            return {}
        return {zone.name: Fact("listed", str(address), zone.name) for zone in self._zones}

    async def listing(self, address: IPAddress | None) -> Listing:
        """What the lists say of a peer."""
        facts = self.facts(address)
        for fact in facts.values():
            self._lookups.expect(fact)
        answers = {name: await self._lookups.answer(fact) for name, fact in facts.items()}
        return weigh(self._zones, answers)

    async def refusal(self, address: IPAddress | None, listing: Listing) -> Reply | None:
        """Why mail of a peer so listed is not taken; None where it is."""
        if not listing.hits or listing.score < self._threshold:
            return None
        zone = listing.worst.zone
        found = await self._lookups.answer(Fact("reason", str(address), zone.name))
        reason = printable(" ".join(found or ()), _LONGEST).replace(zone.name, zone.label)
        words = f"{address} is listed by {zone.label}"
        return Reply(554, "5.7.1", f"{words}: {reason}" if reason else words)


def lines(listing: Listing) -> tuple[tuple[str, str], ...]:
    """For the envelope: ``DNSB label code weight``, one for each entry that counts."""
    return tuple(
        ("DNSB", f"{xtext(hit.zone.label)} {hit.code} {hit.zone.weight}") for hit in listing.hits
    )
