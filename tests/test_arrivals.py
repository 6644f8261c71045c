"""What the forwarder sees in outgoing/: what came, and whom somebody is in a hurry for."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from builders import put, spool_in

from spoolscan import queue
from spoolscan.forwarder.arrivals import Arrivals
from spoolscan.spool import Spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return spool_in(tmp_path)


def in_hand(spool: Spool) -> tuple[Arrivals, str]:
    """A message that came a while ago, and was listed."""
    queue_id = put(spool, state="outgoing", to=("bob@example.com", "carol@example.com"))
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
