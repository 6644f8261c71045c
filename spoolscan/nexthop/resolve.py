"""Where mail for a domain goes: its MX records, as RFC 5321 section 5.1 reads them.

* The lowest preference first, equals in random order; a domain without MX is its own host.
* A single MX of "." takes no mail (RFC 7505): refused for good, 5.1.10.
* A domain that does not exist is refused for good; a name server that gives no answer is not.
* Where we are one of the hosts, we and those after us are left out, so that mail cannot loop.
* Addresses of this host itself, multicast and the like are left out: a stranger's MX record must
  not make us talk to what listens on 127.0.0.1.

What a stranger's records make us do is bounded: so many hosts, so many addresses.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from random import SystemRandom
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.resolver

from spoolscan.config import host_port
from spoolscan.errors import ConfigError, PermanentFailure, TemporaryFailure

_HOSTS: Final = 10
_ADDRESSES: Final = 20
_CACHED: Final = 10_000
_random: Final = SystemRandom()


class NoWay(PermanentFailure):
    """Mail for this domain can never be delivered; ``status`` by RFC 3463."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Host:
    """A mail exchanger; ``address`` is an IP address."""

    name: str
    address: str


class Lookup:
    """Asks name servers; ``hostname`` is what we are called."""

    def __init__(self, hostname: str, seconds: float, nameservers: Sequence[str] = ()) -> None:
        """``nameservers`` are HOST:PORT, none for the system's.

        Raises ConfigError where the system has none that we could ask.
        """
        self._us = hostname.lower().rstrip(".")
        self._seconds = seconds
        self._resolver = _resolver(nameservers)
        self._resolver.cache = dns.resolver.LRUCache(_CACHED)

    async def hosts(self, domain: str, *, local: bool = False) -> list[Host]:
        """In the order in which they are to be asked; never empty.

        ``local``: addresses of this host are good too.  Raises NoWay, TemporaryFailure.
        """
        if domain.startswith("["):
            return _allowed([_literal(domain)], domain, local=local)
        names = await self._exchangers(domain)
        answers = await asyncio.gather(*(self._addresses(name) for name in names))
        found = [
            Host(name, address)
            for name, addresses in zip(names, answers, strict=True)
            for address in addresses or ()
        ]
        if not found and None in answers:
            raise TemporaryFailure(f"no name server answers for the hosts of {domain}")
        if not found:
            raise NoWay("5.4.4", f"no host that takes mail for {domain} has an address")
        return _allowed(found, domain, local=local)

    async def _exchangers(self, domain: str) -> list[str]:
        """Names of hosts, in order.  Raises NoWay, TemporaryFailure."""
        try:
            answer = await self._resolver.resolve(
                _name(domain), "MX", lifetime=self._seconds, search=False, raise_on_no_answer=False
            )
        except dns.resolver.NXDOMAIN:
            raise NoWay("5.1.2", f"the domain {domain} does not exist") from None
        except dns.exception.DNSException as error:
            raise TemporaryFailure(f"no name server answers for {domain}: {error}") from error
        records = [(record.preference, record.exchange) for record in answer.rrset or ()]
        if not records:
            records = [(0, answer.qname)]  # the implicit MX
        elif all(name == dns.name.root for _, name in records):
            raise NoWay("5.1.10", f"the domain {domain} takes no mail (null MX)")
        ordered = sorted(
            ((rank, _random.random(), name) for rank, name in records if name != dns.name.root),
            key=lambda record: record[:2],
        )
        named = [(rank, name.to_text(omit_final_dot=True).lower()) for rank, _, name in ordered]
        ours = min((rank for rank, name in named if name == self._us), default=None)
        if ours is not None:
            named = [(rank, name) for rank, name in named if rank < ours]
        if not named:
            raise NoWay("5.4.6", f"mail for {domain} loops: {self._us} is the best host for it")
        return [name for _, name in named[:_HOSTS]]

    async def _addresses(self, host: str) -> list[str] | None:
        """IPv4 first, for its reverse names are in better order; None where nobody answers."""
        kinds = await asyncio.gather(*(self._records(host, kind) for kind in ("A", "AAAA")))
        found = [address for kind in kinds for address in kind or ()]
        return found if found or None not in kinds else None

    async def _records(self, host: str, kind: str) -> list[str] | None:
        try:
            answer = await self._resolver.resolve(
                _name(host), kind, lifetime=self._seconds, search=False, raise_on_no_answer=False
            )
        except (dns.resolver.NXDOMAIN, NoWay):
            return []
        except dns.exception.DNSException:
            return None
        return [record.address for record in answer.rrset or ()]


def _resolver(nameservers: Sequence[str]) -> dns.asyncresolver.Resolver:
    if nameservers:
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = [
            dns.nameserver.Do53Nameserver(*host_port(place)) for place in nameservers
        ]
        return resolver
    try:
        return dns.asyncresolver.Resolver()
    except dns.exception.DNSException as error:
        raise ConfigError(
            f"/etc/resolv.conf: {error}; mx: needs a name server, or [forwarder] nameservers"
        ) from error


def _name(domain: str) -> dns.name.Name:
    """Raises NoWay."""
    try:
        return dns.name.from_text(domain)
    except dns.exception.DNSException as error:
        raise NoWay("5.1.2", f"{domain!r} is no domain name: {error}") from error


def _literal(domain: str) -> Host:
    """An address literal, ``[192.0.2.1]`` or ``[IPv6:2001:db8::1]``.  Raises NoWay."""
    text = domain.removeprefix("[").removesuffix("]").lower().removeprefix("ipv6:")
    try:
        return Host(domain, str(ipaddress.ip_address(text)))
    except ValueError as error:
        raise NoWay("5.1.2", f"{domain!r} is no address: {error}") from error


def _allowed(hosts: list[Host], domain: str, *, local: bool) -> list[Host]:
    """Raises NoWay."""
    found = [host for host in hosts if local or _is_elsewhere(host.address)]
    if not found:
        raise NoWay("5.4.4", f"the hosts for {domain} have no address that mail could go to")
    return found[:_ADDRESSES]


def _is_elsewhere(text: str) -> bool:
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    return not (
        address.is_loopback
        or address.is_unspecified
        or address.is_multicast
        or address.is_link_local
        or str(address) == "255.255.255.255"
    )
