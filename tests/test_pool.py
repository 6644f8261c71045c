"""The pool of workers: in order, none behind one that takes long, and no death but one's own."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from test_scanner import CLEAN, DOCUMENT, World, command

from spoolscan.scanner import hand
from spoolscan.scanner.hand import WorkerDied
from spoolscan.scanner.pool import Pool
from spoolscan.spool import Message
from spoolscan.verdict import Verdict


def in_pool(world: World, workers: int, story: Callable[[Pool], Awaitable[None]]) -> None:
    """With so many workers, ready for mail."""
    settings = world.config.scanner.model_copy(update={"workers": workers})

    async def life() -> None:
        pool = Pool(world.config.model_copy(update={"scanner": settings}))
        try:
            assert await pool.prepare() == []
            await story(pool)
        finally:
            pool.stop()

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
