"""A worker that cannot start rests alone; where none can, all mail waits."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_scanner import CLEAN, World

from spoolscan.scanner import wire
from spoolscan.scanner.hand import Worker


def broken(monkeypatch: pytest.MonkeyPatch, most: int) -> list[Worker]:
    """The first so many workers that are to get ready never do; which they are."""
    found: list[Worker] = []
    look = Worker._look

    async def looked(worker: Worker, out: frozenset[str]) -> None:
        if worker not in found and len(found) < most:
            found.append(worker)
        if worker in found:
            raise wire.Broken("no memory for it")
        await look(worker, out)

    monkeypatch.setattr(Worker, "_look", looked)
    return found


@pytest.mark.parametrize("retry", ["0s", "1h"])
def test_mail_goes_by_the_others(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    retry: str,
) -> None:
    world = World(tmp_path, in_scanner=f'workers = 2\nretry = "{retry}"')
    ids = [world.receive(CLEAN) for _ in range(20)]
    broken(monkeypatch, most=1)
    world.scan()
    assert {world.state(queue_id) for queue_id in ids} == {"outgoing"}
    told = [record.getMessage() for record in caplog.records]
    assert any("event=worker-rests" in line and "no memory" in line for line in told)
    assert not any("event=trouble" in line for line in told)


def test_where_none_can_start_mail_waits_and_nobody_is_asked_in_a_hurry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path, in_scanner='workers = 2\nretry = "1h"')
    queue_id = world.receive(CLEAN)
    broken(monkeypatch, most=2)
    world.scan()
    assert world.state(queue_id) == "incoming"
    assert any("event=trouble" in record.getMessage() for record in caplog.records)
