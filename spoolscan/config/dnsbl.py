"""The settings of ``[dnsbl]`` and of each ``[[dnsbl.zone]]``."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from spoolscan.config.kinds import Domain, Network, Section, host_port
from spoolscan.receiver.span import parse_span
from spoolscan.units import Count, Duration


def _codes(value: object) -> object:
    if isinstance(value, str):
        try:
            parse_span(value)
        except ValueError as error:
            raise ValueError("allowed: 127.0.0.2, 127.0.0.4-7 or 127.0.1.0/24") from error
    return value


def _server(value: object) -> object:
    """An address, not a name: there is nobody yet who could look one up."""
    if isinstance(value, str):
        try:
            ipaddress.ip_address(host_port(value)[0])
        except ValueError as error:
            raise ValueError("allowed: ADDRESS:PORT such as 127.0.0.1:53 or [::1]:53") from error
    return value


def _weight(value: int) -> int:
    if value == 0:
        raise ValueError("allowed: a weight that is not 0; below 0 it speaks for the peer")
    return value


Codes = Annotated[str, BeforeValidator(_codes)]
Server = Annotated[str, BeforeValidator(_server)]
Weight = Annotated[int, Field(ge=-1000, le=1000, strict=True), AfterValidator(_weight)]


class ZoneSettings(Section):
    """One list, and what its answers weigh."""

    name: Domain
    label: str = Field(default="", pattern=r"^[!-~]{0,100}$")
    weight: Weight = 10
    codes: tuple[Codes, ...] = ("127.0.0.0/8",)


class Dnsbl(Section):
    """Which lists are asked about peers, and how the DNS is asked at all."""

    threshold: Count = 10
    exempt: tuple[Network, ...] = ()
    servers: tuple[Server, ...] = ()
    timeout: Annotated[Duration, Field(gt=0)] = 3.0
    ttl: Duration = 3600.0
    cache: Count = 20_000
    zone: tuple[ZoneSettings, ...] = ()
