"""etc/routes is edited while the forwarder runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import forwarder_of, names, put, spool_in
from smtp_peer import Peer

from spoolscan.spool import Spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    (tmp_path / "etc").mkdir()
    return spool_in(tmp_path)


def save(spool: Spool, text: str) -> None:
    Path(spool.path("etc", "routes")).write_text(text)


def url(peer: Peer) -> str:
    return f"smtp://127.0.0.1:{peer.port}"


async def sent(spool: Spool, peer: Peer) -> None:
    before = len(peer.deliveries)
    put(spool, state="outgoing")
    await _until(lambda: len(peer.deliveries) > before)


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.01)


def test_new_mail_goes_by_what_was_saved_and_not_by_what_makes_no_sense(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with Peer() as old, Peer() as new:
            save(spool, f"example.com {url(old)}\n")
            stop = asyncio.Event()
            running = asyncio.create_task(forwarder_of(spool, "smtp://127.0.0.1:1").run(stop))
            await sent(spool, old)
            save(spool, f"example.com {url(new)}\n")
            await sent(spool, new)
            save(spool, f"example.com {url(old)}\nexample.org nonsense\n")
            await sent(spool, new)
            save(spool, f"example.com {url(old)}\n")
            await sent(spool, old)
            stop.set()
            await running

    asyncio.run(story())
    told = [line.getMessage() for line in caplog.records if "routes-kept" in line.getMessage()]
    assert len(told) == 1
    assert "etc/routes:2: next hop" in told[0]


def test_what_waits_for_a_next_hop_follows(spool: Spool) -> None:
    async def story() -> None:
        async with Peer() as peer:
            save(spool, "example.com smtp://127.0.0.1:1\n")
            stop = asyncio.Event()
            forwarder = forwarder_of(spool, "smtp://127.0.0.1:1", pause=3600, longest_pause=3600)
            running = asyncio.create_task(forwarder.run(stop))
            for _ in range(3):
                put(spool, state="outgoing")
            await _until(lambda: forwarder.waiting == 3)
            save(spool, f"example.com {url(peer)}\n")
            forwarder._list_in(0)
            await _until(lambda: not names(spool, "outgoing"))
            stop.set()
            await running
            assert len(peer.deliveries) == 3

    asyncio.run(story())
