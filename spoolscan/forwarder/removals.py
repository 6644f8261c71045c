"""Messages that are done with: their files go, in one thread, many at a time.

A message comes here when each of its recipients is marked, and is over then: a kill leaves marks
that the next start reads.  What follows is unlink, and one sync of outgoing/ for all that were
unlinked meanwhile, in place of a sync of each one's marks.  Nobody waits for it but the stop, or
where as many wait for it as are delivered at once: a loss of power brings back no more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from spoolscan import log
from spoolscan.spool import Message, Spool

_GATHER: Final = 0.05  # seconds in which others join the first


class Removals:
    """Of one event loop."""

    def __init__(
        self, spool: Spool, over: Callable[[str], None], failed: Callable[[str, Exception], None]
    ) -> None:
        """``over`` hears of each message that is gone, ``failed`` of one that is not, and why."""
        self._spool = spool
        self._over = over
        self._failed = failed
        self._coming: list[Message] = []
        self._going: list[Message] = []
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._coming) + len(self._going)

    def add(self, message: Message) -> None:
        """Take a message over, to close it, too."""
        self._coming.append(message)
        if self._task is None:
            self._task = asyncio.create_task(self._remove())

    async def close(self) -> None:
        """Return when all are gone."""
        if self._task is not None:
            await self._task

    async def _remove(self) -> None:
        while self._coming:
            await asyncio.sleep(_GATHER)
            self._going, self._coming = self._coming, []
            try:
                kept = await asyncio.to_thread(self._unlink, self._going)
            except Exception as error:  # no thread is to be had for it
                kept = dict.fromkeys((message.id for message in self._going), error)
            gone, self._going = self._going, []
            for message in gone:
                message.close()
                if message.id in kept:
                    self._failed(message.id, kept[message.id])
                else:
                    self._over(message.id)
        self._task = None

    def _unlink(self, messages: list[Message]) -> dict[str, Exception]:
        """Those that could not be, and why."""
        kept: dict[str, Exception] = {}
        for message in messages:
            try:
                message.remove()
            except Exception as error:
                kept[message.id] = error
        try:
            self._spool.sync("outgoing")
        except OSError as error:
            log.event("forwarder", "-", logging.ERROR, problem=f"syncing outgoing/: {error}")
        return kept
