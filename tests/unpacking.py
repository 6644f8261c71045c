"""Containers opened in one word."""

from __future__ import annotations

from spoolscan.cli.specimens import NAME, PAYLOAD
from spoolscan.scanner.bounds import Bounds, Budget
from spoolscan.scanner.unpack import Member, unpack
from spoolscan.verdict import Cause, Doubt

THE_FILE = Member(NAME, PAYLOAD)


def found_in(data: bytes, bounds: Bounds = Bounds()) -> list[Member | Doubt]:
    return list(unpack(data, Budget(bounds)))


def opened(data: bytes, bounds: Bounds = Bounds()) -> list[Member]:
    return [item for item in found_in(data, bounds) if isinstance(item, Member)]


def doubts(data: bytes) -> list[Cause]:
    return [item.cause for item in found_in(data) if isinstance(item, Doubt)]


def causes(data: bytes) -> set[Cause]:
    return set(doubts(data))
