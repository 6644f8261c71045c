"""Next hops that misbehave or are down: mail waits, is tried again, and is given up in time."""

from __future__ import annotations

import asyncio
import time
from random import Random

import pytest
from forwarding import ALICE, BOB, CAROL, SHORT, World, running
from smtp_peer import Act, Answer, Peer, Then

from spoolscan import disk
from spoolscan.config import Timeouts

# Servers that misbehave

STEPS = ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "END")
BAD: dict[str, Answer] = {
    "drops before": Act.DROP,
    "hangs": Act.HANG,
    "is busy": "421 4.3.2 try later",
    "defers": "451 4.3.0 later",
    "says nonsense": "what?",
    "cuts a line": Then(b"250"),
    "cuts a reply": Then(b"250-first\r\n"),
    "forges a reply": Then(b"250-ok\r\n550 no\r\n250 ok\r\n"),
    "answers strangely": "299 hm",
    "ends lines badly": Then(b"250 ok\n"),
    "sends binary": Then(bytes(range(256))),
    "never ends": Then(b"250-x\r\n" * 10_000),
}


@pytest.mark.parametrize("lmtp", [False, True], ids=["smtp", "lmtp"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("how", BAD)
def test_whatever_a_server_does_the_message_waits_and_is_not_reported(
    world: World, step: str, how: str, lmtp: bool
) -> None:
    queue_id = world.put(BOB, CAROL)
    step = "LHLO" if lmtp and step == "EHLO" else step
    timeouts = SHORT if BAD[how] is Act.HANG else Timeouts()
    peer = world.against(Peer({step: BAD[how]}, lmtp=lmtp), timeouts=timeouts)
    assert peer.deliveries == []
    assert world.names("outgoing") == [queue_id]
    assert world.states(queue_id) == ["RCPT", "RCPT"]
    assert world.names("hold") == []


@pytest.mark.parametrize("step", ["CONNECT", "EHLO"])
def test_a_server_that_refuses_to_talk_bounces_nothing(world: World, step: str) -> None:
    queue_id = world.put()
    answers = {step: "554 5.7.1 go away", "HELO": "554 5.7.1 go away"}
    world.against(Peer(answers))
    assert world.states(queue_id) == ["RCPT"]
    assert world.reports() == []


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "END"])
def test_a_server_that_refuses_the_message_makes_a_report(world: World, step: str) -> None:
    world.put()
    world.against(Peer({step: "554 5.7.1 no"}))
    held = world.names("hold")  # the report itself is refused too, and has nobody to go to
    assert len(held) == 2
    assert world.names("outgoing") == []


def test_a_server_that_closes_after_its_yes_has_said_yes(world: World) -> None:
    world.put()
    peer = world.against(Peer({"END": lambda _: Then(b"250 2.0.0 ok\r\n")}))
    assert peer.connections == 1
    assert world.names("outgoing") == []


def test_many_messages_through_a_moody_server_are_all_accounted_for(world: World) -> None:
    moods = [mood for mood in BAD.values() if mood is not Act.HANG] + ["250 ok"] * 12
    chance = Random(1)  # noqa: S311 - the same story each time

    def moody(_: str) -> Answer:
        return chance.choice(moods)

    everybody = [f"user{number}@example.com" for number in range(90)]
    for first in range(0, 90, 3):
        world.put(*everybody[first : first + 3])
    peer = Peer({"RCPT": moody, "END": moody})

    async def main() -> None:
        async with peer:
            for _ in range(8):
                await world.once(peer, pause=0, longest_pause=0)
                for entry in world.spool.entries("outgoing"):
                    disk.set_time(world.spool.path("outgoing", entry.queue_id), time.time())

    asyncio.run(main())
    waiting = []
    for entry in world.spool.entries("outgoing"):
        with world.spool.open("outgoing", entry.queue_id) as message:
            waiting += [one.address for one in message.envelope.recipients if one.state == "RCPT"]
    assert sorted([*peer.recipients, *waiting]) == sorted(everybody)
    assert peer.recipients


# Time


def test_an_old_message_is_given_up_and_reported(world: World) -> None:
    queue_id = world.put(BOB, age=5 * 86_400 + 10)
    world.against(Peer({"RCPT": "450 4.2.2 mailbox full"}))
    assert queue_id not in world.names("outgoing")
    (entry,) = world.spool.entries("outgoing")  # the report, which met the same server
    with world.spool.open("outgoing", entry.queue_id) as message:
        report = message.read()
    assert b"mailbox full" in report
    assert b"Action: failed" in report


def test_an_old_message_is_given_up_also_when_the_next_hop_is_down(world: World) -> None:
    young, old = world.put(), world.put(age=6 * 86_400)
    asyncio.run(world.once(next_hop="smtp://127.0.0.1:1"))
    assert young in world.names("outgoing")
    assert old not in world.names("outgoing")
    assert world.reports() == [ALICE]


def test_a_message_that_was_left_lying_gets_another_chance(world: World) -> None:
    queue_id = world.put(age=10 * 86_400)
    disk.set_time(str(world.root / "outgoing" / queue_id), time.time() - 2 * 86_400)
    world.against(Peer({"RCPT": "450 later"}))
    assert world.states(queue_id) == ["LATE"]
    assert 3500 < world.delay(queue_id) <= 3600


def test_what_is_not_due_is_not_touched(world: World) -> None:
    queue_id = world.put()
    disk.set_time(str(world.root / "outgoing" / queue_id), time.time() + 600)
    peer = world.against(Peer())
    assert peer.connections == 0
    assert world.names("outgoing") == [queue_id]


def test_a_next_hop_that_is_down_is_asked_by_one_message_and_the_files_stay_as_they_are(
    world: World,
) -> None:
    ids = [world.put() for _ in range(50)]
    before = [(world.root / "outgoing" / name).stat().st_mtime_ns for name in ids]
    peer = world.against(Peer({"CONNECT": "421 4.3.2 closed for repairs"}), concurrency=3)
    assert peer.connections <= 3
    assert [(world.root / "outgoing" / name).stat().st_mtime_ns for name in ids] == before


def test_they_flow_when_it_is_back(world: World) -> None:
    for number in range(30):
        world.put(f"user{number}@example.com")
    peer = Peer()

    def repaired(_: str) -> Answer:
        return "421 4.3.2 closed" if peer.connections < 4 else "220 peer.test"

    peer.answers["CONNECT"] = repaired
    running(world, peer, lambda: len(peer.recipients) == 30, pause=0.05)
    assert len(set(peer.recipients)) == 30


def test_a_message_that_makes_the_server_hang_up_holds_nobody_else_up(world: World) -> None:
    poison = [world.put(f"poison{number}@example.com") for number in range(4)]
    for number in range(6):
        world.put(f"user{number}@example.com")
    peer = Peer({"RCPT": lambda who: Act.DROP if who.startswith("poison") else "250 ok"})
    running(world, peer, lambda: len(peer.recipients) == 6, pause=0.05, concurrency=1)
    assert world.names("outgoing") == poison
    assert all(world.delay(queue_id) > 0 for queue_id in poison)


def test_a_server_that_allows_few_connections_gets_few(world: World) -> None:
    for number in range(30):
        world.put(f"user{number}@example.com")
    peer = Peer()
    peer.answers["CONNECT"] = lambda _: "421 too many" if peer.open > 2 else "220 peer.test"
    running(world, peer, lambda: len(peer.recipients) == 30, concurrency=8, pause=0.05)
    assert len(set(peer.recipients)) == 30
