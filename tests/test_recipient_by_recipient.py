"""What becomes of each recipient: marks, reports, and when a message is removed."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forwarding import ALICE, BOB, CAROL, DAVE, World, mixed
from smtp_peer import Peer

from spoolscan import disk
from spoolscan.spool import Message


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
