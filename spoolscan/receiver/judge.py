"""The chain of checks between RCPT and its answer: the first that decides, decides.

1. A forward-path that asks some host to send on is refused to everyone (`policy`).
2. ``etc/access``: a refusal refuses, DISCARD accepts and drops.  RELAY goes on with 5, and OK too
   where the recipient is ours.
3. ``etc/smtpd_check_rules``.
4. DNS lists, but not for our own networks and users.
5. The links, such as whether there is such a recipient.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from spoolscan import log
from spoolscan.config import Config
from spoolscan.receiver import dnsbl
from spoolscan.receiver.access import Entry, Grant
from spoolscan.receiver.address import Path
from spoolscan.receiver.case import Case, Fact, Mailbox
from spoolscan.receiver.client import Client
from spoolscan.receiver.dnsbl import Blacklists
from spoolscan.receiver.events import Mail
from spoolscan.receiver.listing import Listing
from spoolscan.receiver.lookups import Lookups
from spoolscan.receiver.policy import RELAY_DENIED, IPAddress, Policy, asks_to_relay
from spoolscan.receiver.reply import Reply
from spoolscan.receiver.rulebook import Rulebook
from spoolscan.receiver.rules import CANNOT_TELL, Deciding, Decision
from spoolscan.receiver.ruling import Ruling


class Link(Protocol):
    """One more check of a recipient whom this client may send to."""

    async def recipient(self, client: Client, mail: Mail, path: Path) -> Reply | None:
        """Why it is refused all the same; None where nothing speaks against it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """One for all connections.

    ``delay`` is in seconds, ``home`` the domain of <postmaster>; ``links`` are asked in turn.
    """

    policy: Policy
    rulebook: Rulebook
    lookups: Lookups
    blacklists: Blacklists
    delay: float = 0.0
    home: str = ""
    links: tuple[Link, ...] = ()

    def expect(self, address: IPAddress | None) -> None:
        """A peer has connected: begin to ask the lists about it."""
        if address is None or self.policy.trusts(address):
            return
        for zone in self.rulebook.rules.zones:
            self.lookups.expect(Fact("listed", str(address), zone))
        for fact in self.blacklists.facts(address).values():
            self.lookups.expect(fact)

    async def recipient(self, client: Client, mail: Mail, path: Path) -> Ruling:
        """What becomes of one RCPT command."""
        if asks_to_relay(path):
            return Ruling(RELAY_DENIED, "asks to relay")
        case = Case(
            client, Mailbox.of(mail.sender), Mailbox.of(path, self.home), self.policy.domains
        )
        entry = self.rulebook.access.decide(case)
        ruling = _by_access(entry, case) or await self._by_rules(case)
        if not ruling.reply.positive or ruling.discard:
            return ruling
        for link in self.links:
            if refusal := await link.recipient(client, mail, path):
                return Ruling(refusal, "recipient")
        return ruling

    async def _by_rules(self, case: Case) -> Ruling:
        decision = await self._settle(self.rulebook.rules.decide(case))
        why = f"rules:{decision.rule.line}" if decision.rule is not None else "rules:none"
        for line in decision.debugged:
            log.event(
                "receiver",
                "-",
                event="debug",
                why=f"rules:{line}",
                peer=case.client.address,
                sender=case.sender,
                to=case.recipient,
            )
        if decision.refusal is not None:
            return self._refused(decision, case, why)
        listing = Listing()
        if not case.client.ours:
            listing = await self.blacklists.listing(case.client.address)
            if refusal := await self.blacklists.refusal(case.client.address, listing):
                return Ruling(refusal, f"dnsbl:{listing.score}", extras=dnsbl.lines(listing))
        weighed = f"{why} dnsbl:{listing.score}" if listing.hits else why
        return Ruling(why=weighed, extras=(*dnsbl.lines(listing), ("RULE", why)))

    def _refused(self, decision: Decision, case: Case, why: str) -> Ruling:
        assert decision.refusal is not None  # noqa: S101 - the caller has looked
        if decision.unsure:
            return Ruling(decision.refusal, f"rules:{decision.unsure}?")
        if case.client.unsure and self.rulebook.access.grants_by_name:
            return Ruling(CANNOT_TELL, "access?")
        delay = self.delay if decision.delays else 0.0
        return Ruling(decision.refusal, why, delay, decision.hangs_up)

    async def _settle(self, deciding: Deciding) -> Decision:
        """Look up what it asks for, until it has decided."""
        try:
            fact = next(deciding)
            while True:
                fact = deciding.send(await self.lookups.answer(fact))
        except StopIteration as done:
            decision: Decision = done.value
            return decision


def _by_access(entry: Entry | None, case: Case) -> Ruling | None:
    """What ``etc/access`` decides by itself."""
    if entry is None:
        return None
    why = f"access:{entry.line}"
    if isinstance(entry.says, Reply):
        return Ruling(entry.says, why)
    if entry.says is Grant.DISCARD:
        return Ruling(why=why, discard=True)
    if entry.says is Grant.OK and case.recipient.domain not in case.ours:
        return None
    return Ruling(why=why, extras=(("RULE", why),))


def make(settings: Config, links: Sequence[Link] = (), *, lookups: Lookups | None = None) -> Judge:
    """The judge of these settings.  Raises ConfigError where a file of his cannot be used."""
    site = settings.site
    policy = Policy(frozenset(site.domains), tuple(map(ipaddress.ip_network, site.networks)))
    lookups = lookups or Lookups(settings.dnsbl)
    rulebook = Rulebook(
        settings.path(settings.rules.file),
        settings.path(settings.rules.access),
        names=settings.receiver.reverse_lookup,
    )
    return Judge(
        policy=policy,
        rulebook=rulebook,
        lookups=lookups,
        blacklists=Blacklists(settings.dnsbl, lookups),
        delay=settings.rules.delay,
        home=site.domains[0] if site.domains else site.hostname,
        links=tuple(links),
    )
