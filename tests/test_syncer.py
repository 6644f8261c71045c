"""`spoolscan.syncer` and what it is done by: `spoolscan.aio`'s kernel and threads."""

from __future__ import annotations

import asyncio
import errno
import functools
import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

import pytest

from spoolscan import aio, disk
from spoolscan.syncer import Syncer

BOTH = pytest.mark.parametrize("threads", [False, True], ids=["kernel", "threads"])


def on_loop(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    found = disk.open_new(str(tmp_path / "file"))
    disk.write(found, b"content")
    yield found
    os.close(found)


class Scripted:
    """In place of a backend: ends what is begun when told to."""

    def __init__(self) -> None:
        self.begun: list[tuple[int, asyncio.Future[None]]] = []

    def begin(self, descriptor: int, future: asyncio.Future[None], *, data_only: bool) -> None:
        assert not data_only
        self.begun.append((descriptor, future))

    def close(self) -> None: ...


@on_loop
async def test_the_kernel_is_what_syncs_here() -> None:
    syncer = Syncer(4)
    assert isinstance(syncer._backend, aio.Kernel)
    syncer.close()


@on_loop
async def test_where_the_kernel_has_no_aio_threads_sync(
    monkeypatch: pytest.MonkeyPatch, descriptor: int, tmp_path: Path
) -> None:
    monkeypatch.setattr(aio, "_NUMBERS", {})
    syncer = Syncer(4)
    assert isinstance(syncer._backend, aio.Threads)
    await syncer.file(descriptor)
    await syncer.directory(str(tmp_path))
    syncer.close()


@BOTH
@on_loop
async def test_files_their_data_and_directories_are_synced(
    threads: bool, descriptor: int, tmp_path: Path
) -> None:
    syncer = Syncer(2, threads=threads)
    async with asyncio.timeout(60):
        await asyncio.gather(
            *(syncer.file(descriptor) for _ in range(20)),
            *(syncer.data(descriptor) for _ in range(20)),
            *(syncer.directory(str(tmp_path)) for _ in range(20)),
        )
    syncer.close()


@BOTH
@on_loop
async def test_what_cannot_be_synced_fails_and_the_others_do_not(
    threads: bool, descriptor: int
) -> None:
    syncer = Syncer(3, threads=threads)
    ours, theirs = os.pipe()
    gone = os.dup(descriptor)
    os.close(gone)
    async with asyncio.timeout(60):
        outcomes = await asyncio.gather(
            *map(syncer.file, (descriptor, gone, ours, descriptor, theirs, descriptor)),
            return_exceptions=True,
        )
    numbers = [getattr(outcome, "errno", 0) for outcome in outcomes]
    assert numbers == [0, errno.EBADF, errno.EINVAL, 0, errno.EINVAL, 0]
    await syncer.file(descriptor)
    syncer.close()
    os.close(ours)
    os.close(theirs)


@on_loop
async def test_what_the_kernel_says_of_a_sync_is_what_is_raised(
    monkeypatch: pytest.MonkeyPatch, descriptor: int
) -> None:
    """A disk that fails: the event carries the number, and nothing else tells of it."""
    kernel = aio.Kernel(1)
    future = asyncio.get_running_loop().create_future()
    real = aio._call

    def failing(number: int, *arguments: object) -> int:
        result = real(number, *arguments)
        if number == kernel._getevents and result:
            aio._EVENT.pack_into(kernel._events, 0, 1, 0, -errno.EIO, 0)
        return result

    monkeypatch.setattr(aio, "_call", failing)
    kernel.begin(descriptor, future, data_only=False)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        await asyncio.wait_for(future, 60)
    kernel.close()


@on_loop
async def test_where_the_kernel_does_not_tell_what_is_done_nothing_is(
    monkeypatch: pytest.MonkeyPatch, descriptor: int
) -> None:
    syncer = Syncer(2)
    kernel = syncer._backend
    assert isinstance(kernel, aio.Kernel)
    real = aio._call

    def failing(number: int, *arguments: object) -> int:
        if number == kernel._getevents:
            raise OSError(errno.EIO, "broken")
        return real(number, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(aio, "_call", failing)
        async with asyncio.timeout(60):
            outcomes = await asyncio.gather(
                *map(syncer.file, [descriptor] * 6), return_exceptions=True
            )
    assert [type(outcome) for outcome in outcomes] == [OSError] * 6
    async with asyncio.timeout(60):  # what the kernel tells late of those is for nobody
        await syncer.file(descriptor)
    syncer.close()


@on_loop
async def test_who_waits_behind_some_that_all_fail_is_not_forgotten(descriptor: int) -> None:
    """None of the first is under way then, so no event comes that would begin the others."""
    gone = os.dup(descriptor)
    os.close(gone)
    syncer = Syncer(2)
    assert isinstance(syncer._backend, aio.Kernel)
    async with asyncio.timeout(60):
        outcomes = await asyncio.gather(
            *map(syncer.file, (gone, gone, gone, gone, gone, descriptor)), return_exceptions=True
        )
    assert [outcome is None for outcome in outcomes] == [False] * 5 + [True]
    syncer.close()


@on_loop
async def test_a_kernel_that_knows_no_fsync_by_aio_is_left_for_threads(
    monkeypatch: pytest.MonkeyPatch, descriptor: int
) -> None:
    monkeypatch.setattr(aio, "_FSYNC", 99)  # EINVAL, as a kernel before 4.18 and gVisor say
    before = set(os.listdir("/proc/self/fd"))
    syncer = Syncer(2)
    assert isinstance(syncer._backend, aio.Threads)
    await syncer.file(descriptor)
    syncer.close()
    assert set(os.listdir("/proc/self/fd")) == before


@BOTH
@on_loop
async def test_a_file_system_that_has_shut_down_is_not_believed(
    threads: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XFS: the sync of a directory goes well then, a look at it does not."""
    syncer = Syncer(2, threads=threads)
    await syncer.directory(str(tmp_path))

    def look(_: int) -> os.stat_result:
        raise OSError(errno.EIO, "shut down")

    monkeypatch.setattr(disk, "status", look)
    with pytest.raises(OSError, match="shut down"):
        await syncer.directory(str(tmp_path))
    syncer.close()


@on_loop
async def test_a_directory_that_was_made_again_is_another(tmp_path: Path) -> None:
    path = tmp_path / "incoming"
    path.mkdir()
    syncer = Syncer(2)
    await syncer.directory(str(path))
    path.rename(tmp_path / "moved-away")
    path.mkdir()
    syncer._backend.close()
    backend = syncer._backend = Scripted()
    waiting = asyncio.create_task(syncer.directory(str(path)))
    await asyncio.sleep(0)
    ((synced, future),) = backend.begun
    assert os.path.samestat(os.fstat(synced), path.stat())
    future.set_result(None)
    await waiting
    syncer.close()


@on_loop
async def test_a_program_of_32_bits_calls_nothing_by_the_numbers_of_64(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aio.sys, "maxsize", 2**31 - 1)
    monkeypatch.setattr(aio, "_call", lambda *_: pytest.fail("called"))
    with pytest.raises(OSError, match="no numbers"):
        aio.Kernel(1)


@BOTH
@on_loop
async def test_who_gives_up_waiting_harms_nobody(
    threads: bool, descriptor: int, tmp_path: Path
) -> None:
    syncer = Syncer(1, threads=threads)
    tasks = [asyncio.create_task(syncer.directory(str(tmp_path))) for _ in range(3)]
    tasks += [asyncio.create_task(syncer.file(descriptor)) for _ in range(3)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    async with asyncio.timeout(60):
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [outcome is None for outcome in outcomes] == [False, True] * 3
    await syncer.directory(str(tmp_path))
    syncer.close()


@on_loop
async def test_a_sync_of_a_directory_is_shared_by_who_came_before_it_began_and_so_is_its_failure(
    tmp_path: Path,
) -> None:
    syncer = Syncer(4)
    syncer._backend.close()
    backend = syncer._backend = Scripted()
    first, *later = (asyncio.create_task(syncer.directory(str(tmp_path))) for _ in range(3))
    await asyncio.sleep(0)
    assert len(backend.begun) == 1  # it may have begun before the others had their names
    backend.begun[0][1].set_result(None)
    await first
    assert len(backend.begun) == 2
    assert not any(task.done() for task in later)
    backend.begun[1][1].set_exception(OSError(errno.EIO, "broken"))
    outcomes = await asyncio.gather(*later, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [OSError, OSError]
    again = asyncio.create_task(syncer.directory(str(tmp_path)))
    await asyncio.sleep(0)
    backend.begun[2][1].set_result(None)
    await again
    syncer.close()


@BOTH
@on_loop
async def test_what_is_under_way_is_waited_for_at_the_end(threads: bool, descriptor: int) -> None:
    before = set(os.listdir("/proc/self/fd"))
    syncer = Syncer(8, threads=threads)
    waiting = [asyncio.create_task(syncer.file(descriptor)) for _ in range(8)]
    await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    syncer.close()
    assert set(os.listdir("/proc/self/fd")) == before
