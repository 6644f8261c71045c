"""What the forwarder sees in outgoing/: what came, how old it is, and who is in a hurry."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from builders import forwarder_of, names, put, spool_in
from smtp_peer import Peer

from spoolscan import queue
from spoolscan.forwarder import arrivals as arrivals_module
from spoolscan.forwarder.arrivals import Arrivals
from spoolscan.forwarder.schedule import Retries
from spoolscan.spool import Spool

ID = "20261121t053000z-d6m01v"
YEARS = 10 * 365 * 86_400.0
BOB = "bob@example.com"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return spool_in(tmp_path)


def in_hand(spool: Spool) -> tuple[Arrivals, str]:
    """A message that came a while ago, and was listed."""
    queue_id = put(spool, state="outgoing", to=(BOB, "carol@example.com"))
    spool.defer(spool.path("outgoing", queue_id), time.time() - 100)
    arrivals = Arrivals(spool)
    assert looked(arrivals) == ([queue_id], set())
    return arrivals, queue_id


def looked(arrivals: Arrivals) -> tuple[list[str], set[str]]:
    """A look at all there is: whom it takes in hand, and who is in a hurry."""
    arrivals._all_again = 0.0
    found = asyncio.run(arrivals.look())
    return [entry.queue_id for entry in found.due], found.hurried


def flush(spool: Spool, queue_id: str) -> None:
    queue.flush(spool, queue.items(spool, queue.Wanted(ids=frozenset([queue_id]))))


def test_our_own_marks_are_not_taken_for_somebody_in_a_hurry(spool: Spool) -> None:
    arrivals, queue_id = in_hand(spool)
    with spool.open("outgoing", queue_id) as message:
        message.mark([0], "SENT")
    assert looked(arrivals) == ([], set())


@pytest.mark.parametrize("marked", [False, True])
def test_a_flush_is_seen_once_marked_or_not(spool: Spool, *, marked: bool) -> None:
    arrivals, queue_id = in_hand(spool)
    for _ in range(2):
        if marked:
            with spool.open("outgoing", queue_id) as message:
                message.mark([0], "SENT")
        flush(spool, queue_id)
        assert looked(arrivals) == ([], {queue_id})
        assert looked(arrivals) == ([], set())


# ---- dated in the future


class Clocks:
    """Both go on when they are told to; the one on the wall leaps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall, self.ran = 1_000_000.0, 50.0
        fake = SimpleNamespace(time=lambda: self.wall, monotonic=lambda: self.ran)
        monkeypatch.setattr(arrivals_module, "time", fake)

    def go(self, seconds: float) -> None:
        self.wall += seconds
        self.ran += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


def test_a_message_is_as_old_as_it_says(spool: Spool, clocks: Clocks) -> None:
    assert Arrivals(spool).since(ID, 900_000.0) == 900_000.0


def test_one_that_is_dated_in_the_future_is_as_old_as_it_is_known(
    spool: Spool, clocks: Clocks
) -> None:
    arrivals = Arrivals(spool)
    assert arrivals.since(ID, YEARS) == clocks.wall
    clocks.go(3600)
    assert arrivals.since(ID, YEARS) == clocks.wall - 3600


def test_no_leap_of_the_clock_makes_it_older(spool: Spool, clocks: Clocks) -> None:
    arrivals = Arrivals(spool)
    arrivals.since(ID, YEARS)
    clocks.go(60)
    clocks.wall += YEARS / 2
    assert arrivals.since(ID, YEARS) == clocks.wall - 60
    clocks.wall += YEARS
    assert arrivals.since(ID, YEARS) == YEARS  # and it was right


def test_what_has_gone_is_remembered_no_longer(spool: Spool) -> None:
    arrivals, queue_id = in_hand(spool)
    for name in (queue_id, ID):
        arrivals.since(name, time.time() + YEARS)
    looked(arrivals)
    assert list(arrivals._future) == [queue_id]


def test_a_message_of_the_future_is_given_up_and_its_sender_told(spool: Spool) -> None:
    async def story() -> None:
        async with Peer({"RCPT": lambda to: "450 later" if to == BOB else "250 ok"}) as peer:
            put(spool, state="outgoing", to=(BOB,), arrived=datetime.now(UTC) + timedelta(3650))
            soon = {"first": 0.1, "shortest": 0.1, "longest": 0.1, "expiry": 1.0, "warning": 0.0}
            next_hop = f"smtp://127.0.0.1:{peer.port}"
            forwarder = forwarder_of(spool, next_hop, retries=Retries(**soon))
            stop = asyncio.Event()
            running = asyncio.create_task(forwarder.run(stop))
            async with asyncio.timeout(60):
                while names(spool, "outgoing"):
                    await asyncio.sleep(0.01)
            stop.set()
            await running
            assert peer.recipients == ["alice@example.org"]

    asyncio.run(story())
