"""fsync for an event loop: it blocks nobody, and who waits for the same directory shares one.

What a coroutine here returns from is on the disk.  OSError, as the kernel gave it, where it is not;
of a directory to all whom that sync was for: the kernel tells of a lost write only once, so a
second try would succeed and prove nothing.

Done by the kernel's asynchronous I/O (`aio`); by threads where there is none for us, or where a
test asks for it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from spoolscan import aio, disk


class Syncer:
    """One for an event loop, made inside it; at most ``most`` syncs are under way at once."""

    def __init__(self, most: int, *, threads: bool = False) -> None:
        self._loop = asyncio.get_running_loop()
        self._backend: aio.Backend = aio.Threads(most) if threads else _backend(most)
        self._directories: dict[tuple[int, int], _Directory] = {}

    async def file(self, descriptor: int) -> None:
        """fsync."""
        await self._begin(descriptor)

    async def data(self, descriptor: int) -> None:
        """fdatasync."""
        await self._begin(descriptor, data_only=True)

    async def directory(self, path: str) -> None:
        """Return when a sync that began after this call has ended (group commit)."""
        # By what it is, not by its name: one that was moved away and made again is another.
        known = self._directories.get(_identity(disk.look_through(path)))
        if known is None:
            descriptor = disk.open_directory(path)
            known = _Directory(descriptor, self._begin)
            self._directories[_identity(disk.status(descriptor))] = known
        waiting = self._loop.create_future()
        known.join(waiting)
        await waiting

    def close(self) -> None:
        """What is under way is waited for."""
        self._backend.close()
        for known in self._directories.values():
            with suppress(OSError):  # nothing was written by it
                disk.close(known.descriptor)
        self._directories.clear()

    def _begin(self, descriptor: int, *, data_only: bool = False) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self._loop.create_future()
        self._backend.begin(descriptor, future, data_only=data_only)
        return future


class _Directory:
    """Held open: an error that a sync tells of is then one that came since the last."""

    def __init__(self, descriptor: int, begin: Callable[[int], asyncio.Future[None]]) -> None:
        self.descriptor = descriptor
        self._begin = begin
        self._waiting: list[asyncio.Future[None]] = []  # for the sync that has not begun yet
        self._under_way = False

    def join(self, future: asyncio.Future[None]) -> None:
        self._waiting.append(future)
        if not self._under_way:
            self._start()

    def _start(self) -> None:
        batch, self._waiting, self._under_way = self._waiting, [], True
        self._begin(self.descriptor).add_done_callback(partial(self._ended, batch))

    def _ended(self, batch: Sequence[asyncio.Future[None]], sync: asyncio.Future[None]) -> None:
        self._under_way = False
        error = sync.exception() or self._trouble()
        for future in batch:
            aio.settle(future, error)
        if self._waiting:
            self._start()

    def _trouble(self) -> OSError | None:
        """Why a sync that went well is not believed.

        An XFS that has shut down, over a disk that fails, says so to a look at a directory, and
        not to its fsync: that finds nothing left to be written (xfs_dir_fsync).
        """
        try:
            disk.status(self.descriptor)
        except OSError as error:
            return error
        return None


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _backend(most: int) -> aio.Backend:
    with suppress(OSError):
        return aio.Kernel(most)
    return aio.Threads(most)
