"""The nursery: workers come from one process, which may die, and has nothing but what they need."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from asking import Asked
from gateway import Gateway
from letters import letter
from loopback import until
from test_scanner import CLEAN, DOCUMENT, World, command

from spoolscan.errors import TemporaryFailure
from spoolscan.scanner.hand import Worker, WorkerDied
from spoolscan.scanner.nursery import Nursery
from spoolscan.scanner.pool import Pool
from spoolscan.spool import Message
from spoolscan.verdict import Verdict


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.stop()


def status(pid: int, key: str) -> list[str]:
    """Of proc_pid_status(5)."""
    text = Path(f"/proc/{pid}/status").read_text()
    return text.partition(f"\n{key}:")[2].partition("\n")[0].split()


def parent(pid: int) -> int:
    return int(status(pid, "PPid")[0])


def opened(pid: int) -> list[str]:
    """What a process has open, but for its standard error."""
    folder = Path(f"/proc/{pid}/fd")
    return [os.readlink(entry) for entry in folder.iterdir() if entry.name != "2"]


async def verdict(pool: Pool, message: Message) -> Verdict:
    """However many workers die."""
    with message:
        while True:
            try:
                with await pool.ask(message) as answer:
                    return answer.report.verdict
            except WorkerDied:
                continue


def pids(pool: Pool) -> list[int]:
    return [worker._process.pid for worker in pool._workers if worker._process is not None]


def test_all_workers_have_one_parent_and_one_that_died_is_replaced_from_there(
    tmp_path: Path, nursery: Nursery
) -> None:
    world = World(tmp_path)

    async def story() -> None:
        pool = Pool(world.config, nursery)
        try:
            assert await pool.prepare() == []
            before = pids(pool)
            assert len(before) >= 2
            assert {parent(pid) for pid in before} == {nursery._pid}
            os.kill(before[0], signal.SIGKILL)
            while pool._workers[0]._peer is not None:
                await asyncio.sleep(0.01)
            many = (verdict(pool, world.claimed(CLEAN)) for _ in range(40))
            assert set(await asyncio.gather(*many)) == {Verdict.CLEAN}
            assert await pool.prepare() == []
            assert before[0] not in pids(pool)
            assert {parent(pid) for pid in pids(pool)} == {nursery._pid}
        finally:
            pool.stop()

    asyncio.run(story())


def test_after_a_death_with_a_message_in_hand_nothing_lies_in_memory_as_it_did(
    tmp_path: Path, nursery: Nursery
) -> None:
    begun, end = tmp_path / "begun", tmp_path / "end"
    script = f"touch {begun}; while ! test -e {end}; do sleep 0.1; done; exit 0"
    world = World(tmp_path, command(script))

    async def story() -> None:
        pool = Pool(world.config, nursery)
        try:
            assert await pool.prepare() == []
            before, first = pids(pool), nursery._pid
            asked = asyncio.create_task(pool.ask(world.claimed(DOCUMENT)))
            while not begun.exists():
                await asyncio.sleep(0.01)
            (reading,) = (one for one in pool._workers if one.load())
            reading.kill()
            with pytest.raises(WorkerDied):
                await asked
            end.touch()
            assert await pool.prepare() == []
            (born,) = set(pids(pool)) - set(before)
            assert parent(born) == nursery._pid != first
            assert not Path(f"/proc/{first}").exists()
            assert await verdict(pool, world.claimed(CLEAN)) is Verdict.CLEAN
        finally:
            pool.stop()

    asyncio.run(story())


def test_a_nursery_that_was_killed_takes_no_worker_with_it_and_is_there_for_the_next(
    tmp_path: Path, nursery: Nursery
) -> None:
    world = World(tmp_path)

    async def story() -> None:
        pool = Pool(world.config, nursery)
        try:
            assert await pool.prepare() == []
            first, before = nursery._pid, pids(pool)
            os.kill(first, signal.SIGKILL)
            assert await verdict(pool, world.claimed(CLEAN)) is Verdict.CLEAN
            assert pids(pool) == before
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            many = (verdict(pool, world.claimed(CLEAN)) for _ in range(40))
            assert set(await asyncio.gather(*many)) == {Verdict.CLEAN}
            assert nursery._pid != first
        finally:
            pool.stop()

    asyncio.run(story())


def test_one_that_hangs_is_ended_and_another_is_there_for_the_next(
    tmp_path: Path, nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)

    async def story() -> None:
        worker = Worker(world.config, nursery)
        try:
            await worker.prepare()
            worker.stop()
            first = nursery._pid
            os.kill(first, signal.SIGSTOP)
            with monkeypatch.context() as patch:
                patch.setattr("spoolscan.scanner.hand._START", 0.1)
                with pytest.raises(TemporaryFailure, match="cannot start"):
                    await worker.prepare()
            await worker.prepare()
            assert nursery._pid != first
        finally:
            worker.stop()

    asyncio.run(story())


def test_each_worker_goes_by_the_settings_that_it_was_asked_for_with(
    tmp_path: Path, nursery: Nursery
) -> None:
    worlds = {Verdict.CLEAN: World(tmp_path / "a"), Verdict.BANNED: World(tmp_path / "b")}
    with (worlds[Verdict.BANNED].root / "etc/matches.bad").open("a") as file:
        file.write("name=a[.]pdf\n")
    for wanted in (*worlds, *worlds):  # there and back again
        worker = Asked(worlds[wanted].config, nursery)
        try:
            with worlds[wanted].claimed(DOCUMENT) as message, worker.ask(message) as answer:
                assert answer.report.verdict is wanted
        finally:
            worker.stop()


def test_rules_that_were_edited_meanwhile_are_those_of_the_next_worker(
    tmp_path: Path, nursery: Nursery
) -> None:
    world = World(tmp_path)
    rule = 'rule new { strings: $a = "PDF" condition: $a }'
    found = []
    for text in ("", rule, rule + " no rule", ""):
        (world.root / "etc/rules/new.yar").write_text(text)
        worker = Asked(world.config, nursery)
        try:
            with world.claimed(DOCUMENT) as message, worker.ask(message) as answer:
                found.append(answer.report.verdict)
        finally:
            worker.stop()
    assert found == [Verdict.CLEAN, Verdict.INFECTED, Verdict.INFECTED, Verdict.CLEAN]


def test_settings_that_no_worker_can_go_by_cost_the_nursery_nothing(
    tmp_path: Path, nursery: Nursery
) -> None:
    world = World(tmp_path)
    patterns = world.root / "etc/matches.bad"
    before = patterns.read_text()
    patterns.write_text("\n")
    worker = Asked(world.config, nursery)
    try:
        with world.claimed(CLEAN) as message:
            with pytest.raises(TemporaryFailure, match="cannot start"):
                worker.ask(message)
            first = nursery._pid
            patterns.write_text(before)
            with worker.ask(message) as answer:
                assert answer.report.verdict is Verdict.CLEAN
        assert nursery._pid == first
    finally:
        worker.stop()


# -- that of a daemon ------------------------------------------------------------------------------


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with Gateway(tmp_path / "spool", f"maildir:{tmp_path}/maildir") as gateway:
        gateway.configure("scanner", workers="2")
        gateway.start()
        yield gateway


def test_neither_it_nor_a_worker_has_anything_of_the_daemon_open(gateway: Gateway) -> None:
    (nursery,) = gateway.nurseries()
    assert sorted(kind.partition(":")[0] for kind in opened(nursery)) == [
        *["/dev/null"] * 2,
        "socket",
    ]
    for worker in gateway.workers():
        kinds = {kind.partition(":")[0] for kind in opened(worker)}
        assert kinds == {"/dev/null", "socket"}
        # Those of the daemon and of the locked half, and one to select by.
        assert len(opened(worker)) <= 5
    for reader in gateway.readers():
        assert sorted(kind.partition(":")[0] for kind in opened(reader)) == [
            *["/dev/null"] * 2,
            *["socket"] * 2,
        ]


def test_what_reads_mail_is_locked_up_after_it_was_forked(gateway: Gateway) -> None:
    readers = gateway.readers()
    assert len(readers) == 2
    for reader in readers:
        assert status(reader, "Seccomp") == ["2"]
        assert status(reader, "NoNewPrivs") == ["1"]
        assert {int(status(reader, f"Cap{kind}")[0], 16) for kind in ("Eff", "Prm", "Amb")} == {0}
        if os.geteuid() == 0:
            assert "0" not in status(reader, "Uid")
    for pid in (*gateway.workers(), *gateway.nurseries()):
        assert status(pid, "Seccomp") == status(os.getpid(), "Seccomp")


def test_new_settings_need_no_new_nursery(gateway: Gateway) -> None:
    before, workers = gateway.nurseries(), gateway.workers()
    gateway.configure("scanner", workers="1")
    gateway.reload()
    until(lambda: len(gateway.workers()) == 1, "the new life", tell=gateway.log)
    gateway.wait_until_done(gateway.send(letter("passes")))
    assert gateway.nurseries() == before
    assert not set(gateway.workers()) & set(workers)


def test_a_daemon_that_is_killed_leaves_none_of_them(gateway: Gateway) -> None:
    below = [*gateway.nurseries(), *gateway.workers(), *gateway.readers()]
    gateway.send_signal("scanmail", signal.SIGKILL)
    for pid in below:
        until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), f"{pid} ends", tell=gateway.log)


def test_each_is_shown_as_what_it_is_in_its_first_life_and_in_the_next(gateway: Gateway) -> None:
    def last(pid: int) -> str:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")[-1]
        return ""

    def are_shown() -> bool:
        workers = {last(pid) for pid in (*gateway.workers(), *gateway.readers())}
        return {last(pid) for pid in gateway.nurseries()} == {"nursery"} and workers == {"worker"}

    stages = ("smtpd", "scanmail", "smtpfwdd", "jobs")
    assert [last(gateway.process(stage)) for stage in stages] == [*stages]
    until(are_shown, "nursery and workers are shown", tell=gateway.log)
    for killed in (gateway.workers() + gateway.nurseries(), [gateway.process("scanmail")]):
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        gateway.wait_until_done(gateway.send(letter("by the next")))
        until(are_shown, "nursery and workers are shown", tell=gateway.log)
    assert last(gateway.process("scanmail")) == "scanmail"
