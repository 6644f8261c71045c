"""What a setting may be: names, networks, addresses; and what a table of them is."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from spoolscan.domain import a_labels

_DOMAIN: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?:\.(?!-)[a-z0-9-]{1,63})*", re.IGNORECASE)


def _domain(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        name = a_labels(value.strip().rstrip(".")).lower()
    except UnicodeError as error:
        raise ValueError("allowed: a domain name such as example.com") from error
    if not _DOMAIN.fullmatch(name):
        raise ValueError("allowed: a domain name such as example.com")
    return name


def _network(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return str(ipaddress.ip_network(value.strip()))
    except ValueError as error:
        raise ValueError(f"allowed: address/bits such as 192.0.2.0/24 or ::1 ({error})") from error


def _mailbox(value: object) -> object:
    if isinstance(value, str) and value and not re.fullmatch(r"[!-?A-~]+@[!-?A-~]+", value):
        raise ValueError("allowed: an address such as postmaster@example.com")
    return value


def host_port(value: str) -> tuple[str, int]:
    """Split ``HOST:PORT`` or ``[V6]:PORT``.  Raises ValueError."""
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]\s]+)):(\d{1,5})", value)
    if found is None or not 0 <= int(found[3]) <= 65535:
        raise ValueError("allowed: HOST:PORT such as 127.0.0.1:2525 or [::1]:25")
    return found[1] or found[2], int(found[3])


def _listen(value: object) -> object:
    if isinstance(value, str):
        host_port(value)
    return value


def _listen_locally(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"unix:[^\0]+", value):
        try:
            host_port(value)
        except ValueError as error:
            raise ValueError("allowed: HOST:PORT, or unix:PATH for a socket's file") from error
    return value


Domain = Annotated[str, BeforeValidator(_domain)]
Network = Annotated[str, BeforeValidator(_network)]
Mailbox = Annotated[str, BeforeValidator(_mailbox)]
Listen = Annotated[str, BeforeValidator(_listen)]
ListenLocally = Annotated[str, BeforeValidator(_listen_locally)]
Policy = Literal["hold", "quarantine", "pass"]


class Section(BaseModel):
    """One table: frozen, and nothing in it that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")
