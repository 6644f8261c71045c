"""A next hop of many moods, and an account of what became of every recipient.

The server refuses, defers, hangs, talks nonsense, cuts its replies and drops the connection, at
each step, before and after it answers; now and then its TLS fails.  The forwarder is run against it
again and again, the times of what it deferred set back, until nothing waits; after some rounds the
server is honest, so that something can be said about each recipient: he was delivered to, or the
sender was told (the report arrived, or nobody would have it and it lies in hold/).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import certificates
from smtp_peer import Act, Answer, Peer, Then

from spoolscan import config, disk, share
from spoolscan.config import Timeouts
from spoolscan.envelope import TODO, Envelope, Recipient, ScanMark
from spoolscan.forwarder.daemon import Forwarder
from spoolscan.notices import Templates
from spoolscan.spool import STATES, Spool

# Above what a busy machine may stall us for: a server that says yes to who has left delivers twice.
_SHORT = Timeouts(connect=10, greeting=5, command=5, block=5, answer=5)
_FINAL = re.compile(rb"^Final-Recipient: rfc822; (\S+)", re.MULTILINE)
_FEATURES = ("PIPELINING", "8BITMIME", "SIZE 50000000", "DSN")
_MOST_ROUNDS = 60

# Each with its weight among the moods that are not good.
_MOODS: list[tuple[Answer, int]] = [
    ("450 4.2.0 later", 12),
    ("550 5.1.1 never", 4),
    ("421 4.3.2 closing", 4),
    (Act.DROP, 6),
    (Act.HANG, 1),
    ("what?", 3),
    ("299 hm", 1),
    (Then(b"250-half\r\n"), 3),
    (Then(b"25"), 3),
    (Then(b"250-ok\r\n550 no\r\n250 ok\r\n"), 2),
    (Then(b"250 ok\n"), 1),
    (Then(bytes(range(256))), 1),
    (Then(b"250-x\r\n" * 300), 1),
]
_GOOD = {"CONNECT": "220 moody", "MAIL": "250 2.1.0 ok", "RCPT": "250 2.1.5 ok"}
_GOOD |= {"DATA": "354 go", "BDAT": "250 2.0.0 ok", "END": "250 2.0.0 ok", "STARTTLS": "220 go"}
# How often a step goes wrong, in a hundred; a message has but one chance at most of them.
_BAD = {"CONNECT": 3, "STARTTLS": 8, "MAIL": 6, "RCPT": 8, "DATA": 6, "BDAT": 6, "END": 15}


@dataclass
class Account:
    """Recipients by what became of them.  `wrong` is empty where all is well."""

    everybody: set[str]
    delivered: Counter[str] = field(default_factory=Counter)
    reported: Counter[str] = field(default_factory=Counter)
    told_in_hold: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    rounds: int = 0
    bad: Counter[str] = field(default_factory=Counter)  # what the server did, by step
    connections: int = 0

    @property
    def lost(self) -> set[str]:
        known = {*self.delivered, *self.reported, *self.told_in_hold, *self.waiting}
        return self.everybody - known

    @property
    def doubled(self) -> set[str]:
        return {who for who, times in self.delivered.items() if times > 1}

    @property
    def contradicted(self) -> set[str]:
        """Delivered, and told to be not."""
        return {*self.reported, *self.told_in_hold} & set(self.delivered)

    @property
    def wrong(self) -> set[str]:
        return self.lost | self.doubled | self.contradicted | self.waiting


class _Server:
    """Gives `Peer` its answers."""

    def __init__(self, chance: Random, account: Account) -> None:
        self._chance = chance
        self._account = account
        self.honest = False

    def answers(self) -> dict[str, Callable[[str], Answer]]:
        return {step: lambda _, step=step: self._answer(step) for step in _GOOD}  # type: ignore[misc] # mypy knows no defaults of a lambda

    def _answer(self, step: str) -> Answer:
        good = _GOOD[step]
        if self.honest or self._chance.random() * 100 >= _BAD[step]:
            return good
        self._account.bad[step] += 1
        if self._chance.random() < 0.15:
            return Then(f"{good}\r\n".encode())  # drops when it has answered
        moods, weights = zip(*_MOODS, strict=True)
        return self._chance.choices(moods, weights)[0]


def run(
    root: Path, messages: int, seed: int, *, chunking: bool, tell: Callable[[str], None] = print
) -> Account:
    """The whole story, in a spool under ``root``; the same moods for the same seed."""
    for state in STATES:
        (root / state).mkdir(mode=0o700)
    spool, chance = Spool(root), Random(seed)  # noqa: S311 - the same story each time
    account = Account(set(_fill(spool, messages, chance)))
    asyncio.run(_rounds(spool, account, _Server(chance, account), chunking, tell))
    for who in _in(spool, "hold"):
        account.told_in_hold.add(who)
    return account


def _fill(spool: Spool, messages: int, chance: Random) -> list[str]:
    """Each message has a sender of its own, and one to four recipients."""
    everybody = []
    for number in range(messages):
        to = [f"r{number}-{one}@example.com" for one in range(chance.choice((1, 1, 1, 2, 4)))]
        recipients = tuple(map(Recipient, to))
        sender = f"s{number}@example.org"
        draft = spool.draft(Envelope(sender, recipients, scan=ScanMark("clean")))
        lines = chance.choice((2, 2, 2, 20, 3000))
        draft.write(b"Subject: %d\r\n\r\n" % number + b".a line of some length\r\n" * lines)
        draft.commit(to="outgoing")
        everybody += to
    return everybody


async def _rounds(
    spool: Spool, account: Account, server: _Server, chunking: bool, tell: Callable[[str], None]
) -> None:
    features = (*_FEATURES, "CHUNKING") if chunking else _FEATURES
    tls = certificates.server("moody.test")
    async with Peer(server.answers(), features=features, tls=tls) as peer:
        settings = config.Config(
            root=Path(spool.root),
            site=config.Site(hostname="me.test"),
            forwarder=config.Forwarder(
                next_hop=f"smtp://127.0.0.1:{peer.port}",
                timeouts=_SHORT,
                pause=0.001,
                longest_pause=0.001,
            ),
        )
        templates = Templates([share.folder("etc") / "templates"])
        while spool.entries("outgoing") and account.rounds < _MOST_ROUNDS:
            account.rounds += 1
            server.honest = account.rounds > 8
            await Forwarder(settings, spool, templates).run_once()
            waits = spool.entries("outgoing")
            tell(f"round {account.rounds}: {len(peer.deliveries)} taken, {len(waits)} wait")
            for entry in waits:
                disk.set_time(spool.path("outgoing", entry.queue_id), time.time() - 1)
        account.connections = peer.connections
        for item in peer.deliveries:
            if item.sender:
                account.delivered.update(item.recipients)
            else:
                account.reported.update(_told_of(item.data))
    for entry in spool.entries("outgoing"):
        with spool.open("outgoing", entry.queue_id) as message:
            recipients = message.envelope.recipients
            account.waiting.update(one.address for one in recipients if one.state == TODO)


def _told_of(report: bytes) -> list[str]:
    return [found.decode() for found in _FINAL.findall(report.replace(b"\r\n", b"\n"))]


def _in(spool: Spool, state: str) -> list[str]:
    """Whom the reports in a state are about."""
    found: list[str] = []
    for entry in spool.entries(state):
        with spool.open(state, entry.queue_id) as message:
            found += _told_of(message.read())
    return found
