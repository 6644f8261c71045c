"""Wakes a stage when something is put into its directory.

watchdog's events are a hint and nothing more: queues overflow, and a directory that was removed
and made again goes silent.  So the caller lists the directory itself, at every wake-up and at
least every 30 seconds, and this module promises only never to delay a hint.  Where watching is
not possible at all (no inotify instances left), waiting out the time is all there is, and that is
logged once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from types import TracebackType
from typing import Final, Self

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers.inotify import InotifyEmitter, InotifyObserver
from watchdog.observers.inotify_c import InotifyConstants, Mask

from spoolscan import log
from spoolscan.spool import Entry

RESCAN: Final = 30.0  # seconds
LOOK_AGAIN: Final = 2.0  # seconds between two looks at a file that is being copied
_STOPPED: Final = 300.0  # seconds without growth after which nobody is copying it any more


class _ArrivalEmitter(InotifyEmitter):
    """Asks the kernel for arrivals only.

    Of its own watchdog asks for departures too, and keeps every event behind one back for half a
    second, in case the file should arrive somewhere else.
    """

    def get_event_mask_from_filter(self) -> Mask:
        return Mask(InotifyConstants.IN_MOVED_TO | InotifyConstants.IN_CREATE)


class _Arrivals(InotifyObserver):
    def __init__(self) -> None:
        super().__init__()
        self._emitter_class = _ArrivalEmitter


class Watch(FileSystemEventHandler):
    """Watches one directory for an asyncio program; use as a context manager in a running loop."""

    def __init__(self, path: str, stage: str) -> None:
        self._path = path
        self._stage = stage
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._observer = _Arrivals()

    def __enter__(self) -> Self:
        try:
            self._observer.schedule(self, self._path)
            self._observer.start()
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
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join()

    def on_any_event(self, event: FileSystemEvent) -> None:  # noqa: ARG002 - what happened is in the listing
        self._loop.call_soon_threadsafe(self._woken.set)

    def wake(self) -> None:
        """Wake the waiting stage by hand; from the loop's own thread."""
        self._woken.set()

    async def wait(self, seconds: float = RESCAN) -> bool:
        """Sleep until there is a hint, at most ``seconds``; True when there was one."""
        try:
            async with asyncio.timeout(min(max(seconds, 0.0), RESCAN)):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True


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
