"""Which answers of a DNS list are meant: a range within 127.0.0.0/8 (RFC 5782)."""

from __future__ import annotations

import ipaddress
from typing import Final

LOOPBACK: Final = ipaddress.IPv4Network("127.0.0.0/8")

Span = tuple[int, int]  # the first and the last address, as numbers


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
