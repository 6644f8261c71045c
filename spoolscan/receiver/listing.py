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

LOOPBACK: Final = ipaddress.IPv4Network("127.0.0.0/8")
REFUSALS: Final = ipaddress.IPv4Network("127.255.255.0/24")

Span = tuple[int, int]  # the first and the last address, as numbers


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


def parse_span(text: str) -> Span:
    """``127.0.0.2``, ``127.0.0.4-7``, ``127.0.0.4-127.0.0.7``, ``127.0.1.0/24``.

    Raises ValueError, also beyond 127.0.0.0/8.
    """
    if "/" in text:
        network = ipaddress.IPv4Network(text)
        first, last = network[0], network[-1]
    else:
        begin, _, end = text.partition("-")
        first = ipaddress.IPv4Address(begin)
        if end.isdecimal():
            end = f"{begin.rpartition('.')[0]}.{end}"
        last = ipaddress.IPv4Address(end or begin)
    if not (first <= last and first in LOOPBACK and last in LOOPBACK):
        raise ValueError(f"{text!r} is no range within {LOOPBACK}")
    return int(first), int(last)


def counts(code: str) -> bool:
    """Whether it is the answer of a list at all, and not of a resolver that lies."""
    return ipaddress.IPv4Address(code) in LOOPBACK


def refuses(code: str) -> bool:
    """Whether the list says with it that it does not answer us."""
    return ipaddress.IPv4Address(code) in REFUSALS
