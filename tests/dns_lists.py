"""DNS lists in a few words: what a name server says of one address, and the settings of a list."""

from __future__ import annotations

import ipaddress

from name_server import NameServer, Records

from spoolscan.config import Dnsbl, ZoneSettings
from spoolscan.receiver.address import parse_path

ADDRESS = ipaddress.ip_address("198.51.100.7")
BOB = parse_path("bob@site.example")


def listed(zone: str, *codes: str) -> Records:
    return {f"7.100.51.198.{zone} A": codes}


def settings(server: NameServer, *zones: ZoneSettings, **more: object) -> Dnsbl:
    return Dnsbl(servers=(server.place,), zone=zones, timeout=1.0, **more)  # type: ignore[arg-type] # by name


def zone(name: str, weight: int = 10, *codes: str, label: str = "") -> ZoneSettings:
    return ZoneSettings(name=name, weight=weight, codes=codes or ("127.0.0.0/8",), label=label)
