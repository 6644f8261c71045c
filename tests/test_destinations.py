"""The forwarder with a table of routes: each destination for itself; late mail; what was asked."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from builders import spool_in
from name_server import NameServer
from postfix_server import PostfixServer
from smtp_peer import Act, Peer

from spoolscan import config, disk
from spoolscan.envelope import Envelope, Recipient
from spoolscan.errors import ConfigError
from spoolscan.forwarder.daemon import Forwarder
from spoolscan.forwarder.stage import Forwarding
from spoolscan.notices import Templates
from spoolscan.stage import Work

ETC = Path(__file__).parent.parent / "etc" / "templates"
ALICE = "alice@example.org"


class World:
    """A spool with a table of routes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.spool = spool_in(root)
        (root / "etc").mkdir()

    def routes(self, *lines: str) -> None:
        (self.root / "etc" / "routes").write_text("".join(f"{line}\n" for line in lines))

    def settings(self, **values: Any) -> config.Config:
        values.setdefault("next_hop", "smtp://127.0.0.1:1")
        return config.Config(
            root=self.root,
            site=config.Site(hostname="me.test"),
            forwarder=config.Forwarder.model_validate(values),
        )

    def put(
        self,
        *to: str | Recipient,
        sender: str = ALICE,
        age: float = 0.0,
        extras: tuple[tuple[str, str], ...] = (),
    ) -> str:
        arrived = datetime.now(UTC) - timedelta(seconds=age)
        recipients = tuple(one if isinstance(one, Recipient) else Recipient(one) for one in to)
        draft = self.spool.draft(Envelope(sender, recipients, arrived=arrived, extras=extras))
        draft.write(b"Subject: hello\r\n\r\nSECRET\r\n")
        return draft.commit(to="outgoing")

    async def once(self, **values: Any) -> None:
        await Forwarder(self.settings(**values), self.spool, Templates([ETC])).run_once()

    async def run(self, until: Callable[[], bool], **values: Any) -> None:
        """`Forwarder.run` until something is true."""
        stop = asyncio.Event()
        forwarder = Forwarder(self.settings(**values), self.spool, Templates([ETC]))
        task = asyncio.create_task(forwarder.run(stop))
        async with asyncio.timeout(60):
            while not until():
                assert not task.done()
                await asyncio.sleep(0.01)
        stop.set()
        await task

    def lying(self) -> list[str]:
        return [entry.queue_id for entry in self.spool.entries("outgoing")]

    def states(self, queue_id: str) -> list[str]:
        with self.spool.open("outgoing", queue_id) as message:
            return [recipient.state for recipient in message.envelope.recipients]

    def again(self, queue_id: str) -> None:
        disk.set_time(str(self.root / "outgoing" / queue_id), time.time())

    def reports(self) -> list[tuple[str, list[str]]]:
        """Recipient, and the Actions in it, of the reports that lie in outgoing/."""
        found = []
        for queue_id in self.lying():
            with self.spool.open("outgoing", queue_id) as message:
                if message.envelope.sender:
                    continue
                report = message_from_bytes(message.read())
                blocks = report.get_payload()[1].get_payload()[1:]  # type: ignore[union-attr,index] # a report has parts
                actions = [str(block["Action"]) for block in blocks]
                found.append((message.envelope.recipients[0].address, actions))
        return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "spool")


def url(peer: Peer) -> str:
    return f"smtp://127.0.0.1:{peer.port}"


# Each destination for itself


def test_the_recipients_of_one_message_go_their_own_ways(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        async with Peer() as inside, Peer({"RCPT": "450 later"}) as partner:
            world.routes(
                f"example.com {url(inside)}",
                f"example.net {url(partner)}",
                f"example.org maildir:{tmp_path}/box",
                "*  pipe:/bin/sh -c 'exit 67'",
            )
            queue_id = world.put("a@example.com", "b@example.net", "box@example.org", "c@x.test")
            await world.once()
            assert inside.recipients == ["a@example.com"]
            assert world.states(queue_id) == ["SENT", "RCPT", "SENT", "FAIL"]
            boxed = [path.read_bytes() for path in (tmp_path / "box" / "new").iterdir()]
            assert len(boxed) == 2
            (report,) = [data for data in boxed if b"Delivered-To: alice@" in data]
            assert b"c@x.test" in report
            assert b"status 67" in report

    asyncio.run(main())


def test_a_dead_destination_costs_the_others_nothing(world: World) -> None:
    async def main() -> None:
        async with Peer() as good, Peer({"CONNECT": Act.DROP}) as dead:
            world.routes(f"dead.test {url(dead)}", f"* {url(good)}")
            waiting = [world.put(f"u{number}@dead.test") for number in range(20)]
            mixed = [world.put("x@dead.test", f"m{number}@x.test") for number in range(20)]
            for number in range(20):
                world.put(f"u{number}@x.test")
            await world.run(lambda: len(good.recipients) == 40, concurrency=2)
            assert len(set(good.recipients)) == 40
            assert dead.deliveries == []
            assert sorted(world.lying()) == sorted(waiting + mixed)
            assert all(world.states(queue_id) == ["RCPT", "SENT"] for queue_id in mixed)

    asyncio.run(main())


def test_mail_for_every_domain_finds_its_hosts(world: World) -> None:
    async def main() -> None:
        records = {
            "a.test MX": ["10 mx.test."],
            "b.test MX": ["0 ."],
            "c.test MX": "SERVFAIL",
            "mx.test A": ["127.0.0.1"],
            "d.test A": ["127.0.0.1"],
        }
        async with NameServer(records) as names, Peer() as peer:
            world.routes(f"* mx://:{peer.port}?local=yes")
            values = {"nameservers": (names.place,), "timeouts": {"lookup": 0.5}}
            queue_id = world.put("x@a.test", "x@b.test", "x@c.test", "x@d.test", "x@e.test")
            await world.once(**values)
            assert world.states(queue_id) == ["SENT", "FAIL", "RCPT", "SENT", "FAIL"]
            assert peer.recipients == ["x@a.test", "x@d.test"]
            # The report is for a domain that does not exist, and has nobody to go to.
            (why,) = (world.root / "hold").glob("*.why.txt")
            assert ALICE in why.read_text()

    asyncio.run(main())


def test_a_message_for_many_domains_reaches_them_a_few_at_once(world: World) -> None:
    async def main() -> None:
        records = {f"d{number}.test A": ["127.0.0.1"] for number in range(70)}
        async with NameServer(records) as names, Peer() as peer:
            peer.answers["RCPT"] = lambda to: "450 later" if to.startswith("late") else "250 ok"
            world.routes(f"* mx://:{peer.port}?local=yes")
            late = [f"late@d{number}.test" for number in range(5)]
            others = [f"x@d{number}.test" for number in range(5, 70)]
            queue_id = world.put(*late, *others)
            await world.once(nameservers=(names.place,), idle=0)
            assert peer.recipients == sorted(others)
            assert peer.most_open <= 40
            assert world.states(queue_id) == ["RCPT"] * 5 + ["SENT"] * 65
            asked = [line for line in peer.commands if line.startswith("RCPT TO:<late")]
            assert len(asked) == 5  # none of them twice in one round

    asyncio.run(main())


def test_no_more_messages_are_in_hand_than_are_allowed(world: World) -> None:
    async def main() -> None:
        async with Peer() as peer:
            world.routes(
                *(f"d{number}.test {url(peer)}/ " for number in range(1)), f"* {url(peer)}"
            )
            for number in range(40):
                world.put(f"x@d{number}.test")
            await world.once(deliveries=3, concurrency=20)
            assert len(peer.recipients) == 40
            assert peer.most_open <= 4  # one that is idle, and those in hand

    asyncio.run(main())


def test_a_bad_table_is_refused_at_a_reload_and_the_old_one_stays(world: World) -> None:
    async def live(work: Work) -> None:
        end = asyncio.Event()
        end.set()
        await work.live(world.settings(), world.spool, end)

    async def main() -> None:
        async with Peer() as peer:
            work = Forwarding(once=True)
            world.routes("example.com nonsense")
            with pytest.raises(ConfigError, match="routes:1: "):
                await live(work)
            world.routes(f"* {url(peer)}")
            await live(work)
            world.routes("example.com nonsense")
            world.put("x@example.com")
            await live(work)
            assert peer.recipients == ["x@example.com"]

    asyncio.run(main())


# Late mail


HOURS_5 = 5 * 3600.0


def test_the_sender_is_told_once_that_his_mail_is_late(world: World) -> None:
    async def main() -> None:
        async with Peer({"RCPT": lambda to: "450 later" if to != ALICE else "450 x"}) as peer:
            queue_id = world.put("bob@example.com", "carol@example.com", age=HOURS_5)
            await world.once(next_hop=url(peer))
            assert world.states(queue_id) == ["LATE", "LATE"]
            assert world.reports() == [(ALICE, ["delayed", "delayed"])]
            world.again(queue_id)
            await world.once(next_hop=url(peer))
            assert len(world.reports()) == 1

    asyncio.run(main())


def test_one_told_of_is_still_delivered_or_given_up(world: World) -> None:
    async def main() -> None:
        async with Peer({"RCPT": "450 later"}) as peer:
            queue_id = world.put("bob@example.com", age=HOURS_5)
            await world.once(next_hop=url(peer))
            for report in set(world.lying()) - {queue_id}:
                os.unlink(world.root / "outgoing" / report)
            world.again(queue_id)
            peer.answers["RCPT"] = "250 ok"
            await world.once(next_hop=url(peer))
            assert peer.recipients == ["bob@example.com"]
            assert world.lying() == []

    asyncio.run(main())


def test_he_is_told_although_the_next_hop_is_down_and_nobody_is_asked(world: World) -> None:
    queue_id = world.put("bob@example.com", age=HOURS_5)
    young = world.put("bob@example.com")
    asyncio.run(world.once())
    assert world.states(queue_id) == ["LATE"]
    assert world.states(young) == ["RCPT"]
    assert world.reports() == [(ALICE, ["delayed"])]


@pytest.mark.parametrize("how", ["young", "switched off", "null sender", "NOTIFY"])
def test_he_is_not_told(world: World, how: str) -> None:
    extras = (("NTFY", "FAILURE"),) if how == "NOTIFY" else ()
    queue_id = world.put(
        Recipient("bob@example.com", extras=extras),
        sender="" if how == "null sender" else ALICE,
        age=3600 if how == "young" else HOURS_5,
    )
    retries = {"warning": 0.0 if how == "switched off" else 4 * 3600.0}
    asyncio.run(world.once(retries=retries))
    assert world.lying() == [queue_id]


# What was asked for


def asked(notify: str) -> Recipient:
    return Recipient("bob@example.com", extras=(("NTFY", notify),))


def test_success_is_told_where_it_was_asked_for(world: World) -> None:
    async def main() -> None:
        async with Peer() as peer:
            world.put(asked("SUCCESS"), "carol@example.com")
            await world.once(next_hop=url(peer))
            assert peer.recipients == [ALICE, "bob@example.com", "carol@example.com"]
            report = peer.deliveries[-1]
            assert report.sender == ""
            assert b"Action: relayed" in report.data
            assert b"carol" not in report.data
            assert b"SECRET" not in report.data

    asyncio.run(main())


def test_in_a_mailbox_it_was_delivered(world: World, tmp_path: Path) -> None:
    world.routes(f"example.com maildir:{tmp_path}/box")
    world.put(asked("success,failure"))
    asyncio.run(world.once())
    assert world.reports() == [(ALICE, ["delivered"])]


def test_a_next_hop_that_tells_himself_is_left_to_it(world: World) -> None:
    async def main() -> None:
        async with Peer(features=("PIPELINING", "DSN")) as peer:
            world.put(asked("SUCCESS"))
            await world.once(next_hop=url(peer))
            assert peer.recipients == ["bob@example.com"]
            assert any("NOTIFY=SUCCESS" in line for line in peer.commands)

    asyncio.run(main())


@pytest.mark.real
def test_postfix_is_asked_to_tell_and_a_command_of_its_own_is_told_of(world: World) -> None:
    if reason := PostfixServer.absent():
        pytest.skip(reason)
    with PostfixServer(["bob@example.com", "alice@example.org"]) as postfix:
        world.routes("lda.test pipe:/bin/true", f"* smtp://127.0.0.1:1 {postfix.url}")
        world.put(asked("SUCCESS"), Recipient("x@lda.test", extras=(("NTFY", "SUCCESS,DELAY"),)))
        asyncio.run(world.once())
        assert len(postfix.wait_for("bob@example.com")) == 1
        reports = postfix.wait_for("alice@example.org", 2)
    assert world.lying() == []
    (ours,) = [report for report in reports if b"X-Spoolscan-Queue-ID" in report]
    (theirs,) = [report for report in reports if report is not ours]
    assert b"Final-Recipient: rfc822; bob@example.com" in theirs
    assert b"Final-Recipient: rfc822; x@lda.test" in ours
    assert b"Action: delivered" in ours
    assert b"bob@" not in ours


@pytest.mark.parametrize(("notify", "told"), [("NEVER", 0), ("SUCCESS", 0), ("FAILURE", 1)])
def test_failure_is_not_told_to_who_does_not_want_to_know(
    world: World, notify: str, told: int
) -> None:
    async def main() -> None:
        answers = {"RCPT": lambda to: "550 no" if to == "bob@example.com" else "250 ok"}
        async with Peer(answers) as peer:
            world.put(asked(notify))
            await world.once(next_hop=url(peer))
            assert peer.recipients == [ALICE] * told
            assert world.lying() == []

    asyncio.run(main())


# Somebody is in a hurry


def test_a_message_whose_time_is_set_is_tried_although_its_next_hop_rests(world: World) -> None:
    async def main() -> None:
        async with Peer({"CONNECT": "421 no"}) as peer:
            first = world.put("a@example.com")
            world.put("b@example.com")
            hurried = False

            def until() -> bool:
                nonlocal hurried
                if peer.connections and not peer.open and not hurried:
                    peer.answers["CONNECT"] = "220 ok"
                    world.again(first)
                    world.spool.wake("outgoing")
                    hurried = True
                return len(peer.recipients) == 2

            # Without the hurry the next attempt would be in an hour.
            await world.run(until, next_hop=url(peer), pause=3600.0, longest_pause=3600.0)

    asyncio.run(main())
