"""Wakes a stage when something is put into its directory.

inotify's events are a hint and nothing more: queues overflow, and a directory that was removed
and made again, or mounted over, goes silent.  So the caller lists the directory itself, at every
wake-up (or goes by `Watch.names`) and at least every 30 seconds, and this module promises only
never to delay a hint.  After each wait without one it has the path watched once more, which changes
something only where another directory is there by now.  Where watching is not possible at all (no
inotify instances left), waiting out the time is all there is, and that is logged once.

watchdog brings inotify, and its observer is left alone: that is three threads, through all of which
every event goes, to read what nobody looks at.  The event loop waits for the descriptor here.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import struct
import time
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from watchdog.observers.inotify_c import InotifyConstants, inotify_add_watch, inotify_init

from spoolscan import log
from spoolscan.spool import Entry

RESCAN: Final = 30.0  # seconds
LOOK_AGAIN: Final = 2.0  # seconds between two looks at a file that is being copied
_STOPPED: Final = 300.0  # seconds without growth after which nobody is copying it any more
_ARRIVALS: Final = InotifyConstants.IN_MOVED_TO | InotifyConstants.IN_CREATE
_LOST: Final = InotifyConstants.IN_Q_OVERFLOW | InotifyConstants.IN_IGNORED
_EVENTS: Final = 65_536  # bytes of events read at a time
_EVENT: Final = struct.Struct("iIII")  # inotify(7): wd, mask, cookie, length of the name behind it
_MOST_NAMES: Final = 10_000


class Watch:
    """Watches one directory for an asyncio program; use as a context manager in a running loop."""

    def __init__(self, path: str, stage: str) -> None:
        self._path = path
        self._stage = stage
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._descriptor = -1
        self._watched = -1  # inotify's number for the directory
        self._names: list[str] = []
        self._lost = True  # what was there before is told by nobody

    def __enter__(self) -> Self:
        try:
            self._begin()
        except OSError as error:
            log.event(
                self._stage,
                "-",
                logging.WARNING,
                event="no-watch",
                path=self._path,
                error=error.strerror,
                remedy=f"raise fs.inotify.max_user_instances; until then listed every {RESCAN:g} s",
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)  # somebody may be waiting still
            os.close(self._descriptor)
            self._descriptor = -1

    def _begin(self) -> bool:
        """Watch the directory that has the path now; whether it is a new one.  Raises OSError."""
        if self._descriptor < 0:
            self._descriptor = _opened()
        found = inotify_add_watch(self._descriptor, os.fsencode(self._path), _ARRIVALS)
        if found < 0:
            raise _error(self._path)
        before, self._watched = self._watched, found
        return before != found

    def _begin_again(self) -> None:
        try:
            anew = self._begin()
        except OSError:  # the listing tells what is wrong with it
            self._watched = -1
            return
        if anew:
            log.event(self._stage, "-", event="watched-again", path=self._path)
            self._lost = True
            self._woken.set()

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            self._note(os.read(self._descriptor, _EVENTS))
        if self._lost:  # the directory, perhaps
            self._begin_again()
        self._woken.set()

    def _note(self, events: bytes) -> None:
        at = 0
        while at < len(events) and not self._lost:
            _, mask, _, length = _EVENT.unpack_from(events, at)
            at += _EVENT.size + length
            name = events[at - length : at].rstrip(b"\0")
            self._names.append(os.fsdecode(name))
            self._lost = bool(mask & _LOST) or len(self._names) > _MOST_NAMES

    def names(self) -> list[str] | None:
        """What was put there since the last call; None where only the listing can tell."""
        names, lost = self._names, self._lost
        self._names, self._lost = [], self._watched < 0
        return None if lost else names

    def wake(self) -> None:
        """Wake the waiting stage by hand; from the loop's own thread."""
        self._woken.set()

    async def wait(self, seconds: float = RESCAN) -> bool:
        """Sleep until there is a hint, at most ``seconds``; True when there was one."""
        if self._descriptor >= 0:  # not before: nobody is to be woken by what he will see anyway
            self._loop.add_reader(self._descriptor, self._hear)
        try:
            async with asyncio.timeout(min(max(seconds, 0.0), RESCAN)):
                await self._woken.wait()
        except TimeoutError:
            self._begin_again()
            return False
        finally:
            if self._descriptor >= 0:
                self._loop.remove_reader(self._descriptor)
        self._woken.clear()
        return True


def _opened() -> int:
    """A descriptor for inotify's events.  Raises OSError."""
    descriptor = inotify_init()
    if descriptor < 0:
        raise _error("inotify")
    os.set_blocking(descriptor, False)
    os.set_inheritable(descriptor, False)
    return descriptor


def _error(path: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)


class Copying:
    """Which files are shorter than they say because somebody is still copying them here.

    Times are monotonic; sizes are those of the listing.  Not thread-safe beyond single calls.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, float, float]] = {}  # size, unchanged since, looked at

    def may_try(self, entry: Entry) -> bool:
        """False for a file found short that did not grow since, for a few seconds."""
        seen = self._seen.get(entry.queue_id)
        if seen is None:
            return True
        size, since, looked = seen
        now = time.monotonic()
        if entry.size == size and now - looked < LOOK_AGAIN:
            return False
        self._seen[entry.queue_id] = (entry.size, since if entry.size == size else now, now)
        return True

    def has_stopped(self, queue_id: str) -> bool:
        """Note that a file was found short; True when it has not grown for minutes."""
        now = time.monotonic()
        size, since, _ = self._seen.get(queue_id, (-1, now, now))
        self._seen[queue_id] = (size, since, now)
        if now - since < _STOPPED:
            return False
        del self._seen[queue_id]
        return True

    def forget(self, queue_id: str) -> None:
        """It is whole, or gone."""
        self._seen.pop(queue_id, None)
