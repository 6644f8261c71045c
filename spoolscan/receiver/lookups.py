"""Facts from the DNS, each asked for once and known for a while.

No answer is no news: a server that is silent, fails or lies gives None, and nobody is refused for
it.  What several sessions want to know at the same time is asked once; a question takes no longer
than it was given, also where all of it together takes several queries.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Sequence
from typing import Any, Final

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.resolver

from spoolscan import config, log
from spoolscan.receiver import listing
from spoolscan.receiver.case import Answer, Fact
from spoolscan.receiver.memory import Memory

_ABSENT: Final = 300.0  # seconds for which that there is nothing is believed
_SILENT: Final = 30.0  # seconds for which nobody is asked again who did not answer
_SHORTEST: Final = 10.0  # seconds; a TTL of 0 would have every recipient ask
_COMPLAINED: Final = 3600.0  # seconds between two log lines about the same zone
_ASKING: Final = 2000  # questions at the same time; more are not asked
_CLIMB: Final = 5  # how many domains above one are asked for its name servers
_SERVERS: Final = 8  # whose addresses are asked for
_ADDRESSES: Final = 32

Found = tuple[tuple[str, ...], float]  # what is there, and for how many seconds


class Lookups:
    """One for all connections; to be made and used inside a running loop."""

    def __init__(self, settings: config.Dnsbl) -> None:
        self._seconds = settings.timeout
        self._longest = settings.ttl
        self._resolver = _resolver(settings)
        self._memory: Memory[Fact, tuple[Answer]] = Memory(settings.cache)
        self._complained: Memory[str, bool] = Memory(100)
        self._asking: dict[Fact, asyncio.Task[Answer]] = {}

    def expect(self, fact: Fact) -> None:
        """Begin to ask for what will be wanted soon."""
        if self._known(fact) is None:
            self._ask(fact)

    async def answer(self, fact: Fact) -> Answer:
        """What is known of it, after at most the time that a question has.  Never raises."""
        known = self._known(fact)
        if known is not None:
            return known[0]
        asking = self._ask(fact)
        return None if asking is None else await asyncio.shield(asking)

    def _known(self, fact: Fact) -> tuple[Answer] | None:
        return self._memory.get(fact, asyncio.get_running_loop().time())

    def _ask(self, fact: Fact) -> asyncio.Task[Answer] | None:
        if fact in self._asking:
            return self._asking[fact]
        if len(self._asking) >= _ASKING:
            self._complain("", f"more than {_ASKING} questions are open")
            return None
        task = asyncio.get_running_loop().create_task(self._find(fact))
        self._asking[fact] = task
        task.add_done_callback(lambda _: self._asking.pop(fact, None))
        return task

    async def _find(self, fact: Fact) -> Answer:
        answer: Answer = None
        seconds = _SILENT
        try:
            async with asyncio.timeout(self._seconds):
                answer, ttl = await self._look_up(fact)
            seconds = min(max(ttl, _SHORTEST), self._longest)
        except Exception as error:  # whatever it was, mail flows on
            self._complain(fact.zone, repr(error) if str(error) else type(error).__name__)
        now = asyncio.get_running_loop().time()
        self._memory.put(fact, (answer,), now + seconds)
        return answer

    async def _look_up(self, fact: Fact) -> Found:
        """Raises anything where there is no answer."""
        match fact.kind:
            case "listed":
                return await self._codes(fact)
            case "reason":
                records, ttl = await self._query(_entry(fact), "TXT")
                texts = (b"".join(record.strings).decode("ascii", "replace") for record in records)
                return tuple(texts), ttl
            case "servers":
                return await self._servers(fact.about)
            case "exists":
                return await self._exists(fact.about)

    async def _codes(self, fact: Fact) -> Found:
        records, ttl = await self._query(_entry(fact), "A")
        codes = tuple(sorted(record.address for record in records))
        if any(map(listing.refuses, codes)):
            raise LookupError(f"the list does not answer us: {codes[0]}")
        if not all(map(listing.counts, codes)):
            raise LookupError(f"no list answers so: {codes[0]}")
        return codes, ttl

    async def _servers(self, domain: str) -> Found:
        """The names and addresses of the name servers of the domain, or of the next above it."""
        labels = domain.split(".")
        for start in range(min(_CLIMB, max(len(labels) - 1, 1))):
            records, ttl = await self._query(".".join(labels[start:]), "NS")
            if not records:
                continue
            names = sorted(record.target.to_text(omit_final_dot=True).lower() for record in records)
            queries = [
                self._query(name, kind) for name in names[:_SERVERS] for kind in ("A", "AAAA")
            ]
            found = await asyncio.gather(*queries, return_exceptions=True)
            addresses = [
                record.address
                for answer in found
                if not isinstance(answer, BaseException)
                for record in answer[0]
            ]
            return (*names, *addresses[:_ADDRESSES]), ttl
        return (), _ABSENT

    async def _exists(self, domain: str) -> Found:
        kinds = ("MX", "A", "AAAA")
        queries = [self._query(domain, kind) for kind in kinds]
        answers = await asyncio.gather(*queries, return_exceptions=True)
        there = tuple(
            kind
            for kind, answer in zip(kinds, answers, strict=True)
            if not isinstance(answer, BaseException) and answer[0]
        )
        for answer in answers:
            if isinstance(answer, BaseException) and not there:
                raise answer
        return there, _ABSENT

    async def _query(self, name: str, kind: str) -> tuple[Sequence[Any], float]:
        """The records, and how long they last.  Raises where there was no answer."""
        if self._resolver is None:
            raise LookupError("no name server is known (/etc/resolv.conf)")
        try:
            answer = await self._resolver.resolve(
                name, kind, lifetime=self._seconds, search=False, raise_on_no_answer=False
            )
        except dns.resolver.NXDOMAIN:
            return [], _ABSENT
        if answer.rrset is None:
            return [], _ABSENT
        return list(answer.rrset), float(answer.rrset.ttl)

    def _complain(self, zone: str, reason: str) -> None:
        """To the log, for the administrator; seldom, for peers choose what is looked up.

        The zone is not named where it may hold a key: the rules and settings do.
        """
        now = asyncio.get_running_loop().time()
        if self._complained.get(zone, now) is None:
            self._complained.put(zone, True, now + _COMPLAINED)
            reason = reason.replace(zone, "the zone") if zone else reason
            log.event("receiver", "-", logging.WARNING, event="no-answer", reason=reason)


def _entry(fact: Fact) -> str:
    """The name under which a list keeps an address: its octets, or nibbles, backwards."""
    address = ipaddress.ip_address(fact.about)
    return f"{address.reverse_pointer.rsplit('.', 2)[0]}.{fact.zone}"


def _resolver(settings: config.Dnsbl) -> dns.asyncresolver.Resolver | None:
    try:
        resolver = dns.asyncresolver.Resolver(configure=not settings.servers)
    except dns.exception.DNSException:  # no /etc/resolv.conf: mail flows, without answers
        return None
    if settings.servers:
        resolver.nameservers = [
            dns.nameserver.Do53Nameserver(host, port)
            for host, port in map(config.host_port, settings.servers)
        ]
    return resolver
