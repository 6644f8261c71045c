"""The forwarder over a real spool, against servers good and bad.

Long, because all of it is one world (a spool and a server) put into one situation after another.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from loopback import answers, free_port, until
from postfix_server import PostfixServer
from smtp_peer import Act, Answer, Peer, Then

from spoolscan import __version__, config, disk
from spoolscan.config import Timeouts
from spoolscan.envelope import Envelope, Recipient, ScanMark
from spoolscan.errors import ConfigError
from spoolscan.forwarder.daemon import Forwarder
from spoolscan.notices import Templates
from spoolscan.spool import STATES, Message, Spool

ETC = Path(__file__).parent.parent / "etc" / "templates"
MESSAGE = b"Received: by me.test id 1\r\nSubject: hello\r\n\r\n.dots\r\n.\r\nend\r\n"
COMPLETE = (  # Postfix adds nothing of its own to it
    b"Received: by me.test id 1\r\nFrom: alice@example.org\r\nTo: bob@example.com\r\n"
    b"Date: Sat, 21 Nov 2026 05:30:00 +0000\r\nMessage-ID: <1@me.test>\r\n\r\n.\r\n..x  \r\n"
)
MARK = f"X-Virus-Scanned: spoolscan {__version__} at me.test\r\n".encode()
ALICE = "alice@example.org"
BOB, CAROL, DAVE = "bob@example.com", "carol@example.com", "dave@example.com"
CLEAN = ScanMark("clean")
SHORT = Timeouts(connect=5, greeting=0.3, command=0.3, block=0.3, answer=0.3)


class World:
    """A spool, and a forwarder with the settings of the test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for state in STATES:
            (root / state).mkdir(mode=0o700)
        self.spool = Spool(root)
        self.settings = config.Forwarder()

    def put(
        self,
        *recipients: str,
        sender: str = ALICE,
        data: bytes = MESSAGE,
        scan: ScanMark = CLEAN,
        age: float = 0,
    ) -> str:
        """A message in outgoing/ that arrived ``age`` seconds ago."""
        arrived = datetime.now(UTC) - timedelta(seconds=age)
        to = tuple(Recipient(address) for address in recipients or (BOB,))
        draft = self.spool.draft(Envelope(sender, to, scan=scan, arrived=arrived))
        draft.write(data)
        return draft.commit(to="outgoing")

    def forwarder(self, **values: object) -> Forwarder:
        settings = config.Config(
            root=self.root,
            site=config.Site(hostname="me.test"),
            forwarder=self.settings.model_copy(update=values),
        )
        return Forwarder(settings, self.spool, Templates([ETC]))

    async def once(self, peer: Peer | None = None, **values: object) -> None:
        if peer is not None:
            scheme = "lmtp" if peer.lmtp else "smtp"
            values["next_hop"] = f"{scheme}://127.0.0.1:{peer.port}"
        await self.forwarder(**values).run_once()

    def against(self, peer: Peer, times: int = 1, **values: object) -> Peer:
        """``run_once`` with this next hop."""

        async def main() -> None:
            async with peer:
                for _ in range(times):
                    await self.once(peer, **values)

        asyncio.run(main())
        return peer

    def names(self, state: str) -> list[str]:
        return sorted(os.listdir(self.root / state))

    def states(self, queue_id: str, state: str = "outgoing") -> list[str]:
        with self.spool.open(state, queue_id) as message:
            return [recipient.state for recipient in message.envelope.recipients]

    def delay(self, queue_id: str) -> float:
        return (self.root / "outgoing" / queue_id).stat().st_mtime - time.time()

    def reports(self) -> list[str]:
        """Recipients of the reports that lie in outgoing/."""
        found = []
        for entry in self.spool.entries("outgoing"):
            with self.spool.open("outgoing", entry.queue_id) as message:
                if b"multipart/report" in message.read(0, 2000):
                    assert message.envelope.sender == ""
                    found += [recipient.address for recipient in message.envelope.recipients]
        return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# The good way


def test_clean_mail_carries_the_mark_over_its_own_bytes(world: World) -> None:
    world.put(BOB, CAROL)
    peer = world.against(Peer())
    (item,) = peer.deliveries
    assert (item.sender, item.recipients) == (ALICE, (BOB, CAROL))
    assert item.data == MARK + MESSAGE
    assert item.parameters == f"SIZE={len(MARK + MESSAGE)}"
    assert world.names("outgoing") == []


@pytest.mark.parametrize("scan", ["-", "released", "infected", "banned", "unscannable"])
def test_what_was_not_found_clean_does_not_carry_it(world: World, scan: str) -> None:
    world.put(scan=ScanMark(scan))
    assert world.against(Peer()).deliveries[0].data == MESSAGE


def test_the_mark_can_be_switched_off(world: World) -> None:
    world.put()
    assert world.against(Peer(), mark=False).deliveries[0].data == MESSAGE


def test_eight_bit_mail_is_announced_where_that_is_understood(world: World) -> None:
    world.put(data="Grüße\r\n".encode())
    world.put(data=b"a" * 70_000 + b"\xe9\r\n")
    world.put(data=b"plain\r\n")
    peer = world.against(Peer())
    for item in peer.deliveries:
        assert ("BODY=8BITMIME" in item.parameters) is not item.data.isascii()


def test_a_large_message_arrives_whole(world: World) -> None:
    data = (b"x" * 998 + b"\r\n.\r\n") * 4000
    world.put(data=data)
    assert world.against(Peer()).deliveries[0].data == MARK + data


def test_all_is_delivered_by_a_few_connections_at_once(world: World) -> None:
    for number in range(40):
        world.put(f"user{number}@example.com")
    peer = world.against(Peer(), concurrency=4)
    assert len(set(peer.recipients)) == len(peer.recipients) == 40
    assert peer.most_open <= 4
    assert peer.connections <= 4


def test_lmtp_recipients_have_their_own_ways(world: World) -> None:
    queue_id = world.put(BOB, CAROL, DAVE)
    peer = world.against(Peer({"END": mixed}, lmtp=True))
    assert peer.recipients == [ALICE, BOB]
    assert world.states(queue_id) == ["SENT", "RCPT", "FAIL"]


def test_the_embedded_default_is_a_maildir(world: World) -> None:
    world.put()
    asyncio.run(world.once())
    (path,) = (world.root / "maildir" / "new").iterdir()
    assert path.read_bytes().endswith((MARK + MESSAGE).replace(b"\r\n", b"\n"))


# Recipient by recipient


def mixed(address: str) -> Answer:
    return {BOB: "250 ok", CAROL: "450 4.2.0 later", DAVE: "550 5.1.1 never"}.get(address, "250 ok")


def test_each_recipient_is_marked_by_what_became_of_him(world: World) -> None:
    queue_id = world.put(BOB, CAROL, DAVE)
    peer = world.against(Peer({"RCPT": mixed}))
    assert world.states(queue_id) == ["SENT", "RCPT", "FAIL"]
    assert 0 < world.delay(queue_id) <= 60
    assert peer.recipients == [ALICE, BOB]  # the report is on its way in the same run
    assert b"5.1.1 never" in peer.deliveries[-1].data
    assert peer.deliveries[-1].sender == ""


def test_those_who_have_it_do_not_get_it_again(world: World) -> None:
    queue_id = world.put(BOB, CAROL, DAVE)
    world.against(Peer({"RCPT": mixed}))
    disk.set_time(str(world.root / "outgoing" / queue_id), time.time())
    peer = world.against(Peer())
    assert peer.recipients == [CAROL]
    assert world.names("outgoing") == []


def test_a_refused_message_is_reported_and_removed(world: World) -> None:
    world.put(BOB, CAROL)
    peer = world.against(Peer({"MAIL": lambda sender: "250 ok" if not sender else "554 5.7.1 no"}))
    assert peer.recipients == [ALICE]
    assert b"Final-Recipient: rfc822; bob@example.com" in peer.deliveries[0].data
    assert b"Final-Recipient: rfc822; carol@example.com" in peer.deliveries[0].data
    assert world.names("outgoing") == []


def test_a_message_nobody_can_be_told_of_goes_to_hold_and_can_come_back(world: World) -> None:
    queue_id = world.put(sender="")
    world.against(Peer({"RCPT": "550 5.1.1 no such user"}))
    assert world.names("outgoing") == []
    assert world.names("hold") == [queue_id, f"{queue_id}.why.txt"]
    why = (world.root / "hold" / f"{queue_id}.why.txt").read_text()
    assert "no such user" in why
    assert BOB in why
    (world.root / "hold" / queue_id).rename(world.root / "outgoing" / queue_id)
    assert world.against(Peer()).recipients == [BOB]


def test_it_goes_to_hold_only_when_everybody_else_is_done(world: World) -> None:
    queue_id = world.put(BOB, CAROL, DAVE, sender="")
    world.against(Peer({"RCPT": mixed}))
    assert world.states(queue_id) == ["SENT", "RCPT", "RCPT"]
    disk.set_time(str(world.root / "outgoing" / queue_id), time.time())
    world.against(Peer({"RCPT": lambda who: mixed(who) if who == DAVE else "250 ok"}))
    assert world.states(queue_id, "hold") == ["SENT", "SENT", "RCPT"]


def failing(monkeypatch: pytest.MonkeyPatch, word: bytes) -> None:
    """The disk breaks when this is written in place."""
    real = disk.write_at

    def write_at(descriptor: int, data: bytes, offset: int) -> None:
        if data == word:
            raise OSError(errno.EIO, "I/O error")
        real(descriptor, data, offset)

    monkeypatch.setattr(disk, "write_at", write_at)


def test_the_report_is_on_the_disk_before_the_recipient_is_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_id = world.put()
    failing(monkeypatch, b"FAIL")
    peer = world.against(Peer({"RCPT": lambda who: "550 no" if who == BOB else "250 ok"}))
    assert peer.recipients == [ALICE]
    assert world.states(queue_id) == ["RCPT"]


def test_nobody_is_given_up_while_no_report_can_be_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_id = world.put()

    def full(path: str) -> int:
        raise OSError(errno.ENOSPC, "no space", path)

    monkeypatch.setattr(disk, "open_new", full)
    world.against(Peer({"RCPT": "550 no"}))
    assert world.states(queue_id) == ["RCPT"]
    assert world.delay(queue_id) > 0
    assert world.names("hold") == []


def test_a_mark_that_cannot_be_written_costs_a_duplicate_and_no_loss(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_id = world.put()
    failing(monkeypatch, b"SENT")
    assert world.against(Peer()).recipients == [BOB]
    assert world.states(queue_id) == ["RCPT"]


def test_what_is_done_with_is_removed_and_synced_once_for_many(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_ids = {world.put() for _ in range(10)}
    calls: list[str] = []
    for name in ("unlink", "fdatasync", "fsync_directory"):
        real: Callable[[int | str], None] = getattr(disk, name)

        def call(what: int | str, real: Callable[[int | str], None] = real) -> None:
            calls.append(f"{real.__name__} {Path(str(what)).name}")
            real(what)

        monkeypatch.setattr(disk, name, call)
    world.against(Peer())
    assert {call.partition(" ")[2] for call in calls if call.startswith("unlink")} == queue_ids
    assert calls[-1] == "fsync_directory outgoing"
    assert calls.count(calls[-1]) < 10
    assert not [call for call in calls if call.startswith("fdatasync")]


def test_what_cannot_be_removed_is_not_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_id = world.put()

    def broken(source: str, target: str) -> None:
        raise OSError(errno.EIO, "broken", source)

    monkeypatch.setattr(disk, "rename_new", broken)
    assert world.against(Peer()).recipients == [BOB]
    assert world.states(queue_id) == ["SENT"]
    assert world.delay(queue_id) > 0
    monkeypatch.undo()
    os.utime(world.root / "outgoing" / queue_id, (0, 0))
    assert world.against(Peer()).recipients == []
    assert world.names("outgoing") == []


def test_what_no_thread_could_be_had_for_is_removed_later_and_so_are_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_id = world.put()
    real = asyncio.to_thread

    async def to_thread(work: Callable[..., Any], *args: object) -> object:
        if work.__name__ in ("_unlink", "defer"):
            raise RuntimeError("can't start new thread")
        return await real(work, *args)

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    assert world.against(Peer()).recipients == [BOB]
    assert world.states(queue_id) == ["SENT"]
    monkeypatch.undo()
    world.put(CAROL)
    assert world.against(Peer()).recipients == [CAROL]
    assert world.names("outgoing") == []


def test_while_there_is_no_room_for_more_nothing_is_tried_again_and_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(6):
        world.put()
    forwarder = world.forwarder(next_hop=f"maildir:{world.root}/md", deliveries=2, concurrency=1)
    dispatch, unlink = forwarder._dispatch, forwarder._removals._unlink
    disk_works = threading.Event()
    times = 0

    async def counted() -> None:
        nonlocal times
        times += 1
        await dispatch()

    def slow(messages: list[Message]) -> dict[str, Exception]:
        assert disk_works.wait(60)
        return unlink(messages)

    async def main() -> None:
        stop = asyncio.Event()
        monkeypatch.setattr(forwarder, "_dispatch", counted)
        monkeypatch.setattr(forwarder._removals, "_unlink", slow)
        task = asyncio.create_task(forwarder.run(stop))
        async with asyncio.timeout(60):
            while forwarder._tasks or len(forwarder._removals) < 2:
                await asyncio.sleep(0.01)
            assert forwarder.waiting
            before = times
            for _ in range(1000):
                await asyncio.sleep(0)
            assert times - before < 20
            disk_works.set()
            while world.names("outgoing"):
                await asyncio.sleep(0.01)
        stop.set()
        await task

    asyncio.run(main())


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


# Running


def running(world: World, peer: Peer, until: Callable[[], bool], **values: object) -> None:
    """`Forwarder.run`, told to stop when something is true."""

    async def main() -> None:
        async with peer:
            stop = asyncio.Event()
            values.setdefault("next_hop", f"smtp://127.0.0.1:{peer.port}")
            task = asyncio.create_task(world.forwarder(**values).run(stop))
            while not until():
                assert not task.done()
                await asyncio.sleep(0.01)
            stop.set()
            await task

    asyncio.run(main())


def test_new_mail_wakes_it(world: World) -> None:
    peer = Peer()
    put: list[str] = []

    def until() -> bool:
        if len(peer.deliveries) == len(put) < 3:
            put.append(world.put())
        return len(peer.deliveries) == 3

    running(world, peer, until)
    assert world.names("outgoing") == []


def test_a_message_moved_there_by_hand_is_forwarded(world: World) -> None:
    queue_id = world.put(scan=ScanMark("infected"))
    (world.root / "outgoing" / queue_id).rename(world.root / "quarantine" / queue_id)
    peer = Peer()
    moved = False

    def until() -> bool:
        nonlocal moved
        if not moved:
            (world.root / "quarantine" / queue_id).rename(world.root / "outgoing" / queue_id)
            moved = True
        return bool(peer.deliveries)

    running(world, peer, until)
    assert peer.deliveries[0].data == MESSAGE


def test_told_to_stop_it_ends_what_is_in_hand(world: World) -> None:
    world.put()
    peer = Peer()
    running(world, peer, lambda: "DATA" in peer.commands)
    assert peer.recipients == [BOB]
    assert world.names("outgoing") == []


def test_told_to_stop_it_does_not_wait_for_ever(world: World) -> None:
    queue_id = world.put()
    peer = Peer({"END": Act.HANG})
    running(world, peer, lambda: "DATA" in peer.commands, grace=0.1)
    assert world.states(queue_id) == ["RCPT"]


def test_a_next_hop_that_makes_no_sense_does_not_start(world: World) -> None:
    with pytest.raises(ConfigError, match="next hop"):
        world.forwarder(next_hop="carrier-pigeon:")


# Files that are not as they should be


@pytest.mark.parametrize("data", [b"a\nb\r\n", b"a\r\n.\rb\r\n", b"a\0\r\n", b"\r\n.\r"])
def test_what_is_not_canonical_goes_to_hold_and_nowhere_else(world: World, data: bytes) -> None:
    bad, good = world.put(data=data), world.put(CAROL)
    peer = world.against(Peer())
    assert peer.recipients == [CAROL]
    assert good not in world.names("outgoing")
    assert world.names("hold") == [bad, f"{bad}.why.txt"]
    assert world.reports() == []


def test_a_file_with_a_broken_envelope_goes_to_hold(world: World) -> None:
    queue_id = world.put()
    path = world.root / "outgoing" / queue_id
    path.write_bytes(path.read_bytes().replace(b"RCPT", b"XXXX"))
    peer = world.against(Peer())
    assert peer.connections == 0
    assert world.names("hold") == [queue_id, f"{queue_id}.why.txt"]


def test_a_half_copied_file_is_left_alone_until_it_is_whole(world: World) -> None:
    queue_id = world.put()
    path = world.root / "outgoing" / queue_id
    whole = path.read_bytes()
    for length in (0, 10, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert world.against(Peer()).connections == 0
        assert path.read_bytes() == whole[:length]
    path.write_bytes(whole)
    assert world.against(Peer()).recipients == [BOB]


def test_a_message_all_of_whose_recipients_are_done_is_removed(world: World) -> None:
    queue_id = world.put()
    with world.spool.open("outgoing", queue_id) as message:
        message.mark([0], "SENT")
    assert world.against(Peer()).connections == 0
    assert world.names("outgoing") == []


def test_a_message_that_an_administrator_takes_away_meanwhile_is_no_trouble(world: World) -> None:
    queue_id = world.put()

    def taken(_: str) -> Answer:
        (world.root / "outgoing" / queue_id).rename(world.root / "hold" / queue_id)
        return "450 later"

    world.against(Peer({"END": taken}))
    assert world.names("hold") == [queue_id]
    assert world.names("outgoing") == []


# Real servers


@pytest.mark.real
def test_aiosmtpd_gets_what_is_stored(world: World) -> None:
    controller_module = pytest.importorskip("aiosmtpd.controller", reason="aiosmtpd is absent")
    got: list[tuple[str, Sequence[str], bytes]] = []

    class Handler:
        async def handle_DATA(self, *given: Any) -> str:  # noqa: N802 - aiosmtpd's name
            envelope = given[-1]
            got.append((envelope.mail_from, envelope.rcpt_tos, envelope.original_content))
            return "250 ok"

    for _ in range(5):
        world.put(BOB, CAROL)
    port = free_port()
    controller = controller_module.Controller(Handler(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        asyncio.run(world.once(next_hop=f"smtp://127.0.0.1:{port}"))
    finally:
        controller.stop()
    assert got == [(ALICE, [BOB, CAROL], MARK + MESSAGE)] * 5
    assert world.names("outgoing") == []


@pytest.fixture
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory that servers which drop their rights can reach."""
    path = Path(tempfile.mkdtemp(prefix="spoolscan-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.mark.real
@pytest.mark.parametrize("scheme", ["smtp", "lmtp"])
def test_smtp_sink_gets_what_is_stored(world: World, public: Path, scheme: str) -> None:
    if shutil.which("smtp-sink") is None:
        pytest.skip("smtp-sink (Debian: postfix) is absent")
    dumps = public / "dumps"
    dumps.mkdir()
    dumps.chmod(0o777)
    for _ in range(20):
        world.put(BOB, CAROL)
    port = free_port()
    words = [
        "smtp-sink",
        "-u",
        "nobody",
        "-d",
        f"{dumps}/m.",
        *(["-L"] if scheme == "lmtp" else []),
    ]
    with subprocess.Popen([*words, f"127.0.0.1:{port}", "20"], cwd=public) as sink:
        try:
            until(lambda: answers(port), "smtp-sink starts")
            asyncio.run(world.once(next_hop=f"{scheme}://127.0.0.1:{port}"))
        finally:
            sink.terminate()
    got = [path.read_bytes() for path in dumps.iterdir()]
    stored = (MARK + MESSAGE).replace(b"\r\n", b"\n")
    assert world.names("outgoing") == []
    assert sum(raw.count(stored) for raw in got) == 20


@pytest.mark.real
def test_postfix_gets_what_is_stored_and_is_believed_in_what_it_refuses(world: World) -> None:
    if reason := PostfixServer.absent():
        pytest.skip(reason)
    for _ in range(10):
        world.put(BOB, CAROL, data=COMPLETE)
    world.put("nobody@example.com")
    with PostfixServer([BOB, CAROL, ALICE]) as postfix:
        asyncio.run(world.once(next_hop=postfix.url))
        got = [postfix.wait_for(mailbox, 10) for mailbox in (BOB, CAROL)]
        (report,) = postfix.wait_for(ALICE)
    assert world.names("outgoing") == []
    assert got == [[MARK + COMPLETE] * 10] * 2
    assert b"Status: 5.1.1" in report
    assert b"Final-Recipient: rfc822; nobody@example.com" in report
