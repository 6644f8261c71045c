"""Waking up: no hint is missed, and a file being copied is neither lost nor pestered."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from builders import put, spool_in

from spoolscan import watch
from spoolscan.spool import Entry
from spoolscan.watch import RESCAN, Copying, Watch

ID = "20261121t053000z-d6m01v"


def _create(folder: Path) -> None:
    (folder / "incoming" / "new").touch()


def _rename(folder: Path) -> None:
    (folder / "old").touch()
    (folder / "old").rename(folder / "incoming" / "new")


def _commit(folder: Path) -> None:
    put(spool_in(folder))


def _folder(folder: Path) -> None:
    (folder / "incoming" / "new").mkdir()


@pytest.mark.parametrize("happens", [_create, _rename, _commit, _folder])
def test_what_is_put_into_the_directory_wakes(
    tmp_path: Path, happens: Callable[[Path], None]
) -> None:
    spool = spool_in(tmp_path)

    async def waiting() -> bool:
        with Watch(spool.path("incoming"), "scanner") as watching:
            sleeper = asyncio.create_task(watching.wait())
            await asyncio.to_thread(happens, tmp_path)
            return await sleeper

    assert asyncio.run(waiting())


def test_a_hint_that_came_before_the_wait_is_not_lost_and_wakes_once(tmp_path: Path) -> None:
    async def waiting() -> tuple[bool, bool]:
        with Watch(str(tmp_path), "scanner") as watching:
            watching.wake()
            watching.wake()
            return await watching.wait(0), await watching.wait(0)

    assert asyncio.run(waiting()) == (True, False)


def test_reading_and_removing_wake_nobody(tmp_path: Path) -> None:
    file = tmp_path / ID
    file.write_bytes(b"x")

    async def waiting() -> bool:
        with Watch(str(tmp_path), "scanner") as watching:
            await asyncio.to_thread(file.read_bytes)
            await asyncio.to_thread(os.utime, file)
            await asyncio.to_thread(file.unlink)
            return await watching.wait(0.2)

    assert not asyncio.run(waiting())


def test_a_directory_that_cannot_be_watched_is_waited_for_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def waiting() -> bool:
        with Watch(str(tmp_path / "not there"), "scanner") as watching:
            return await watching.wait(0)

    assert not asyncio.run(waiting())
    (record,) = caplog.records
    assert "event=no-watch" in record.getMessage()
    assert "remedy=" in record.getMessage()


def test_no_wait_is_longer_than_the_time_after_which_everything_is_listed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    timeout = asyncio.timeout

    def at_once(seconds: float) -> asyncio.Timeout:
        asked.append(seconds)
        return timeout(0)

    async def waiting() -> None:
        with Watch(str(tmp_path), "scanner") as watching:
            monkeypatch.setattr(asyncio, "timeout", at_once)
            for seconds in (10_000.0, 5.0, -1.0):
                await watching.wait(seconds)
            await watching.wait()

    asyncio.run(waiting())
    assert asked == [RESCAN, 5.0, 0.0, RESCAN]


# ---- files that are being copied here


class Clock:
    """Monotonic time that goes on when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=lambda: self.now))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def entry(size: int) -> Entry:
    return Entry(ID, due=0.0, size=size)


def test_a_file_that_was_never_found_short_may_be_tried(clock: Clock) -> None:
    copying = Copying()
    assert copying.may_try(entry(5))
    assert copying.may_try(entry(5))


def test_a_short_file_is_looked_at_again_when_it_grew_or_after_a_while(clock: Clock) -> None:
    copying = Copying()
    assert not copying.has_stopped(ID)
    assert copying.may_try(entry(5))  # its size was not known yet
    assert not copying.may_try(entry(5))
    assert copying.may_try(entry(6))
    assert not copying.may_try(entry(6))
    clock.now += 2
    assert copying.may_try(entry(6))


def test_a_file_that_stopped_growing_for_minutes_is_not_being_copied_any_more(
    clock: Clock,
) -> None:
    copying = Copying()
    for turn in range(1000):  # however slowly it grows
        assert copying.may_try(entry(turn))
        assert not copying.has_stopped(ID)
        clock.now += 100
    looks = 0
    while copying.may_try(entry(1000)) and not copying.has_stopped(ID):
        clock.now += 100
        looks += 1
    assert looks == 3


def test_a_file_that_became_whole_is_forgotten(clock: Clock) -> None:
    copying = Copying()
    copying.has_stopped(ID)
    copying.may_try(entry(5))
    copying.forget(ID)
    copying.forget(ID)
    clock.now += 1000
    assert not copying.has_stopped(ID)
