"""What is done with is removed, and never what somebody put in its place meanwhile."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from builders import forwarder_of, message, names, put, spool_in
from smtp_peer import Answer, Peer

from spoolscan import disk
from spoolscan.spool import Gone, Replaced, Spool

BOB, EVE = "bob@example.com", "eve@example.com"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return spool_in(tmp_path)


def replace(spool: Spool, queue_id: str) -> None:
    """As an editor does that writes a new file and moves it into place: for EVE now."""
    path = Path(spool.path("outgoing", queue_id))
    head, between, body = path.read_bytes().partition(b"\nBODY\n")
    head = head.replace(f"SENT <{BOB}>".encode(), f"RCPT <{BOB}>".encode())
    draft = path.with_name(".edited")
    draft.write_bytes(head.replace(BOB.encode(), EVE.encode()) + between + body)
    draft.rename(path)


def done(spool: Spool) -> str:
    queue_id = put(spool, state="outgoing", to=(BOB,))
    with spool.open("outgoing", queue_id) as found:
        found.mark([0], "SENT")
    return queue_id


def test_a_copy_that_was_moved_over_a_message_stays_when_that_is_removed(spool: Spool) -> None:
    queue_id = done(spool)
    with spool.open("outgoing", queue_id) as found:
        replace(spool, queue_id)
        with pytest.raises(Replaced):
            found.remove()
    with spool.open("outgoing", queue_id) as copy:
        assert [one.address for one in copy.envelope.recipients] == [EVE]
    assert names(spool, "tmp") == []


def test_so_does_one_that_came_between_the_look_and_the_removal(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_id = done(spool)
    look = disk.look

    def looked(path: str) -> os.stat_result:
        found = look(path)
        monkeypatch.undo()
        replace(spool, queue_id)
        return found

    with spool.open("outgoing", queue_id) as found:
        monkeypatch.setattr(disk, "look", looked)
        with pytest.raises(Replaced):
            found.remove()
    with spool.open("outgoing", queue_id) as copy:
        assert [one.address for one in copy.envelope.recipients] == [EVE]
    assert names(spool, "tmp") == []


def test_nor_is_a_copy_taken_for_the_message_because_it_has_its_old_number(spool: Spool) -> None:
    queue_id = done(spool)
    with spool.open("outgoing", queue_id) as found:
        for _ in range(20):  # a file system gives a free number to the next file
            replace(spool, queue_id)
        with pytest.raises(Gone):
            found.remove()
    assert names(spool, "outgoing") == [queue_id]


def test_a_copy_that_is_put_in_place_while_the_message_is_sent_is_sent_too(spool: Spool) -> None:
    queue_id = put(spool, state="outgoing", to=(BOB,))

    def edited(_: str) -> Answer:
        if len(peer.deliveries) == 0:
            replace(spool, queue_id)
        return "250 ok"

    peer = Peer({"END": edited})

    async def main() -> None:
        stop = asyncio.Event()
        async with peer, asyncio.timeout(60):
            forwarder = forwarder_of(spool, f"smtp://127.0.0.1:{peer.port}")
            task = asyncio.create_task(forwarder.run(stop))
            while len(peer.deliveries) < 2 or names(spool, "outgoing"):
                assert not task.done()
                await asyncio.sleep(0.01)
            stop.set()
            await task

    asyncio.run(main())
    assert peer.recipients == [BOB, EVE]
    assert all(item.data.endswith(message()) for item in peer.deliveries)
