"""What a peer's entries in DNS lists weigh together (RFC 5782).

A list answers with addresses of 127.0.0.0/8, and what each means is the list's own affair: so each
zone says which of them count, and how much.  127.255.255.0/24 never counts: there lists say that
they do not answer us.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from spoolscan.receiver.case import Answer
from spoolscan.receiver.span import LOOPBACK, Span

REFUSALS: Final = ipaddress.IPv4Network("127.255.255.0/24")


@dataclass(frozen=True, slots=True)
class Zone:
    """One list, ``label`` its name for others to see; a negative weight speaks for the peer."""

    name: str
    label: str
    weight: int
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """One entry that counts."""

    zone: Zone
    code: str


@dataclass(frozen=True, slots=True)
class Listing:
    """All entries of a peer that count."""

    hits: tuple[Hit, ...] = ()

    @property
    def score(self) -> int:
        return sum(hit.zone.weight for hit in self.hits)

    @property
    def worst(self) -> Hit:
        """The heaviest entry; there has to be one."""
        return max(self.hits, key=lambda hit: hit.zone.weight)


def weigh(zones: Sequence[Zone], answers: Mapping[str, Answer]) -> Listing:
    """``answers`` are the codes by zone; what is None, or not there, weighs nothing.

    A zone counts once, however many of its codes fit.
    """
    hits: list[Hit] = []
    for zone in zones:
        for code in answers.get(zone.name) or ():
            number = int(ipaddress.IPv4Address(code))
            if any(first <= number <= last for first, last in zone.spans):
                hits.append(Hit(zone, code))
                break
    return Listing(tuple(hits))


def counts(code: str) -> bool:
    """Whether it is the answer of a list at all, and not of a resolver that lies."""
    return ipaddress.IPv4Address(code) in LOOPBACK


def refuses(code: str) -> bool:
    """Whether the list says with it that it does not answer us."""
    return ipaddress.IPv4Address(code) in REFUSALS
