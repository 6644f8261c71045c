"""The pool of workers: in order, none behind one that takes long, and no death but one's own."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_scanner import CLEAN, DOCUMENT, World, command

from spoolscan.errors import TemporaryFailure
from spoolscan.scanner import hand
from spoolscan.scanner.hand import TakenBack, WorkerDied
from spoolscan.scanner.nursery import Nursery
from spoolscan.scanner.pool import Pool
from spoolscan.spool import Message
from spoolscan.verdict import Verdict


def in_pool(world: World, workers: int, story: Callable[[Pool], Awaitable[None]]) -> None:
    """With so many workers, ready for mail."""
    settings = world.config.scanner.model_copy(update={"workers": workers})

    async def life() -> None:
        nursery = Nursery()
        pool = Pool(world.config.model_copy(update={"scanner": settings}), nursery)
        try:
            assert await pool.prepare() == []
            await story(pool)
        finally:
            pool.stop()
            nursery.stop()

    asyncio.run(life())


async def verdict(pool: Pool, message: Message) -> Verdict:
    with message, await pool.ask(message) as answer:
        return answer.report.verdict


def test_many_questions_at_once_get_each_its_own_answer(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def story(pool: Pool) -> None:
        async def names(number: int) -> list[str]:
            head = f"Content-Type: text/plain; name=number{number}.txt\r\n\r\nhello\r\n"
            message = world.claimed(head.encode())
            with message, await pool.ask(message) as answer:
                return [name for part in answer.report.parts for name in part.names]

        found = await asyncio.gather(*map(names, range(40)))
        assert found == [[f"number{number}.txt"] for number in range(40)]

    in_pool(world, 2, story)


def test_what_waits_behind_one_that_takes_long_is_asked_elsewhere(tmp_path: Path) -> None:
    end = tmp_path / "end"
    world = World(tmp_path, command(f"while ! test -e {end}; do sleep 0.1; done; exit 0"))

    async def story(pool: Pool) -> None:
        slow = asyncio.create_task(verdict(pool, world.claimed(DOCUMENT)))
        await asyncio.sleep(0)
        others = [asyncio.create_task(verdict(pool, world.claimed(CLEAN))) for _ in range(20)]
        async with asyncio.timeout(100):
            assert set(await asyncio.gather(*others)) == {Verdict.CLEAN}
        assert not slow.done()
        end.touch()
        await slow

    in_pool(world, 2, story)


def test_what_is_taken_back_is_not_read_for_nobody(tmp_path: Path) -> None:
    end, runs = tmp_path / "end", tmp_path / "runs"
    script = f"echo x >> {runs}; while ! test -e {end}; do sleep 0.1; done; exit 0"
    world = World(tmp_path, command(script))

    async def story(pool: Pool) -> None:
        [worker] = pool._workers
        first, *others = (
            asyncio.create_task(worker.ask(world.claimed(DOCUMENT))) for _ in range(4)
        )
        ends = await asyncio.gather(*others, return_exceptions=True)
        assert [type(one) for one in ends] == [TakenBack] * 3
        while not runs.exists():
            await asyncio.sleep(0.01)
        end.touch()
        (await first).close()
        while worker.load():
            await asyncio.sleep(0.01)
        assert runs.read_text().split() == ["x"]
        assert await verdict(pool, world.claimed(CLEAN)) is Verdict.CLEAN

    in_pool(world, 1, story)


def test_a_daemon_that_was_stopped_for_long_charges_no_worker_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, end = tmp_path / "begun", tmp_path / "end"
    script = f"touch {begun}; while ! test -e {end}; do sleep 0.1; done; exit 0"
    world = World(tmp_path, command(script))
    leap = 0.0
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + leap)
    monkeypatch.setattr(hand, "time", clock)

    async def story(pool: Pool) -> None:
        nonlocal leap
        asked = asyncio.create_task(verdict(pool, world.claimed(DOCUMENT)))
        while not begun.exists():
            await asyncio.sleep(0.01)
        leap = 10 * world.config.scanner.timeout
        [worker] = pool._workers
        seen = worker._timer
        while worker._timer is seen and not asked.done():
            await asyncio.sleep(0.01)
        end.touch()
        assert await asked is Verdict.CLEAN

    in_pool(world, 1, story)


def test_who_is_not_to_be_asked_is_known_when_a_turn_comes(tmp_path: Path) -> None:
    end, runs = tmp_path / "end", tmp_path / "runs"
    script = f"echo x >> {runs}; while ! test -e {end}; do sleep 0.1; done; exit 0"
    world = World(tmp_path, command(script))
    settings = world.config.scanner.model_copy(update={"workers": 1})
    out: frozenset[str] = frozenset()

    async def story() -> None:
        nonlocal out
        nursery = Nursery()
        pool = Pool(world.config.model_copy(update={"scanner": settings}), nursery, lambda: out)
        try:
            await pool.prepare()
            asked = [asyncio.create_task(verdict(pool, world.claimed(DOCUMENT))) for _ in range(9)]
            waiting = pool._workers[0]._asked
            while not runs.exists() or not all(one.answer.done() for one in list(waiting)[1:]):
                await asyncio.sleep(0.01)
            out = frozenset(engine.name for engine in world.config.engines())
            end.touch()
            await asyncio.gather(*asked, return_exceptions=True)
        finally:
            pool.stop()
            nursery.stop()

    asyncio.run(story())
    assert runs.read_text().split() == ["x"]


def test_a_question_that_never_reached_its_worker_costs_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def story(pool: Pool) -> None:
        [worker] = pool._workers
        assert worker._peer is not None
        worker._peer.shutdown(socket.SHUT_WR)  # as if it had ended, and nobody had heard it yet
        assert await verdict(pool, world.claimed(CLEAN)) is Verdict.CLEAN

    in_pool(world, 1, story)


def test_a_descriptor_comes_with_its_own_frame_and_no_other() -> None:
    """The kernel hands it out with all that was read before it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        for number, descriptors in enumerate(([], [ours.fileno()], [], [])):
            hand.wire.send(theirs, {"number": number}, descriptors)
        frames, came = hand.wire.Frames(), []
        while len(came) < 4:
            for content, descriptors in frames.hear(ours):
                came.append((content["number"], len(descriptors)))
                for descriptor in descriptors:
                    os.close(descriptor)
    assert came == [(0, 0), (1, 1), (2, 0), (3, 0)]


def test_a_message_that_cannot_be_handed_over_costs_no_worker_its_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)

    def too_many(*_: object, **__: object) -> None:
        raise OSError(errno.ETOOMANYREFS, os.strerror(errno.ETOOMANYREFS))

    async def story(pool: Pool) -> None:
        process = pool._workers[0]._process
        with monkeypatch.context() as patch:
            patch.setattr(hand.wire, "send", too_many)
            with pytest.raises(TemporaryFailure):
                await verdict(pool, world.claimed(CLEAN))
        assert await verdict(pool, world.claimed(CLEAN)) is Verdict.CLEAN
        assert pool._workers[0]._process is process

    in_pool(world, 1, story)


def test_a_death_costs_only_the_message_whose_turn_it_was(tmp_path: Path) -> None:
    world = World(tmp_path, command("kill -9 $PPID"))

    async def story(pool: Pool) -> None:
        messages = [world.claimed(content) for content in (DOCUMENT, CLEAN, CLEAN, CLEAN)]
        ends = await asyncio.gather(
            *(verdict(pool, message) for message in messages), return_exceptions=True
        )
        assert isinstance(ends[0], WorkerDied)
        assert ends[1:] == [Verdict.CLEAN] * 3

    in_pool(world, 1, story)


def test_a_room_that_is_worn_out_is_left_between_two_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hand, "_LIFE", 3)
    world = World(tmp_path)

    def rooms(pool: Pool) -> list[str]:
        process = pool._workers[0]._process
        assert process is not None
        return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()

    async def story(pool: Pool) -> None:
        [first] = rooms(pool)
        ends = await asyncio.gather(*(verdict(pool, world.claimed(CLEAN)) for _ in range(10)))
        assert ends == [Verdict.CLEAN] * 10
        [last] = rooms(pool)
        assert last != first

    in_pool(world, 1, story)


def test_who_is_told_to_end_lets_nobody_wait(tmp_path: Path) -> None:
    world = World(tmp_path, command("sleep 100"))

    async def story(pool: Pool) -> None:
        asked = [asyncio.create_task(verdict(pool, world.claimed(DOCUMENT))) for _ in range(9)]
        await asyncio.sleep(0)
        pool.kill()
        async with asyncio.timeout(60):
            ends = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(end, WorkerDied) for end in ends), ends

    in_pool(world, 2, story)


def test_a_worker_killed_while_nothing_was_asked_costs_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def story(pool: Pool) -> None:
        process = pool._workers[0]._process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        await asyncio.to_thread(process.wait)
        while pool._workers[0]._peer is not None:
            await asyncio.sleep(0.01)
        assert await verdict(pool, world.claimed(CLEAN)) is Verdict.CLEAN

    in_pool(world, 1, story)
