"""Delivered, and it cannot be written down: nothing is sent again before it can."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest
from builders import forwarder_of, names, put, spool_in
from smtp_peer import Peer

from spoolscan import disk
from spoolscan.forwarder import attempt
from spoolscan.forwarder.schedule import Retries
from spoolscan.spool import Spool

BOB, CAROL = "bob@example.com", "carol@example.com"
SOON = Retries(first=0.05, shortest=0.05, longest=0.05)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return spool_in(tmp_path)


def test_who_has_it_is_marked_before_anything_else_is_tried(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(spool, state="outgoing", to=(BOB, CAROL))
    failures = 0
    write_at = disk.write_at

    def full(descriptor: int, data: bytes, offset: int) -> None:
        nonlocal failures
        if data == b"SENT" and failures < 4:
            failures += 1
            raise OSError(errno.ENOSPC, "no space")
        write_at(descriptor, data, offset)

    async def story() -> None:
        monkeypatch.setattr(disk, "write_at", full)
        later = {CAROL: "450 later"}
        async with Peer({"RCPT": lambda to: later.get(to, "250 ok")}) as peer:
            forwarder = forwarder_of(spool, f"smtp://127.0.0.1:{peer.port}", retries=SOON)
            stop = asyncio.Event()
            running = asyncio.create_task(forwarder.run(stop))
            async with asyncio.timeout(60):
                while failures < 4:
                    forwarder._list_in(0)
                    await asyncio.sleep(0.01)
                assert peer.recipients == [BOB]
                later.clear()
                while names(spool, "outgoing"):
                    forwarder._list_in(0)
                    await asyncio.sleep(0.01)
            stop.set()
            await running
            assert peer.recipients == [BOB, CAROL]
            assert not forwarder._unmarked

    asyncio.run(story())


def test_nobody_else_is_marked_where_the_message_is_another_by_then(spool: Spool) -> None:
    queue_id = put(spool, state="outgoing", to=(CAROL, BOB))
    with attempt.take(spool, queue_id, 0.0, {(0, BOB), (1, BOB), (2, BOB)}).message:
        pass
    with spool.open("outgoing", queue_id) as message:
        assert [one.state for one in message.envelope.recipients] == ["RCPT", "SENT"]
