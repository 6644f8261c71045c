"""Cases and rules in a few words."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from spoolscan.receiver.address import parse_path
from spoolscan.receiver.case import Answer, Case, Fact, Mailbox
from spoolscan.receiver.client import Client
from spoolscan.receiver.rules import Decision, Rules

OURS = frozenset({"site.example", "xn--bcher-kva.example"})


def client(address: str = "192.0.2.7", name: str = "mail.b.example", **more: object) -> Client:
    found = ipaddress.ip_address(address) if address else None
    return Client(found, name, "helo.example", **more)  # type: ignore[arg-type] # fields by name


V6 = client("2001:db8::7", "")
NAMELESS = client(name="")
UNSURE = client(name="", unsure=True)
OWN = client("198.51.100.1", trusted=True)
USER = client(user="Alice@site.example")


def case(
    peer: Client | None = None, sender: str = "a@b.example", recipient: str = "bob@site.example"
) -> Case:
    to = Mailbox.of(parse_path(recipient), "site.example")
    return Case(peer or client(), Mailbox.of(parse_path(sender)), to, OURS)


def parse(*lines: str) -> Rules:
    return Rules.parse("\n".join(lines).encode(), "rules")


def decide(
    rules: Rules, about: Case, answers: Mapping[str, Answer] | None = None
) -> tuple[Decision, list[str]]:
    """The decision, and the facts that were asked for."""
    asked: list[str] = []
    deciding = rules.decide(about)
    try:
        fact: Fact = next(deciding)
        while True:
            asked.append(str(fact))
            fact = deciding.send((answers or {})[str(fact)])
    except StopIteration as done:
        return done.value, asked


def allows(line: str, about: Case, answers: Mapping[str, Answer] | None = None) -> bool:
    return decide(parse(line), about, answers)[0].refusal is None
