"""The workers together: each message to the one that has least to do.

A worker answers in order, so a few questions wait with it, and neither side for the other.  No
message waits long behind one that takes long: it is taken back, and asked elsewhere.  A worker that
cannot start rests for a while, alone; where none can, that is everybody's trouble.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

from spoolscan import log
from spoolscan.config import Config
from spoolscan.errors import TemporaryFailure
from spoolscan.scanner.answer import Answer
from spoolscan.scanner.hand import AHEAD, NotStarted, TakenBack, Worker, WorkerDied
from spoolscan.scanner.nursery import Nursery
from spoolscan.scanner.room import Measure
from spoolscan.spool import Message


class Pool:
    """As many workers of a ``nursery`` as the settings say.  For one event loop.

    ``out`` tells the engines that are not to be asked, when a message's turn comes.
    """

    def __init__(
        self, config: Config, nursery: Nursery, out: Callable[[], frozenset[str]] = frozenset
    ) -> None:
        self._out = out
        count = config.worker_count()
        self._workers = [Worker(config, nursery, self._freed) for _ in range(count)]
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._ended = False

    @property
    def size(self) -> int:
        """How many messages keep all workers busy."""
        return AHEAD * len(self._workers)

    @property
    def measures(self) -> Sequence[Measure]:
        """Of a worker's room; none where no worker is ready."""
        return next((worker.measures for worker in self._workers if worker.measures), [])

    def start(self) -> None:
        """Start the processes; they get ready meanwhile."""
        for worker in self._workers:
            worker.start()

    async def prepare(self) -> list[TemporaryFailure]:
        """Return when all are ready, or cannot be for now: why, where none is.

        Raises ConfigError.
        """
        ready = (worker.prepare() for worker in self._workers)
        outcomes = await asyncio.gather(*ready, return_exceptions=True)
        failures: list[TemporaryFailure] = []
        for outcome in outcomes:
            if isinstance(outcome, NotStarted) and self._goes_on(outcome):
                continue
            if isinstance(outcome, TemporaryFailure):
                failures.append(outcome)
            elif outcome is not None:
                raise outcome
        return failures

    async def ask(self, message: Message) -> Answer:
        """Have a message judged, without the engines that are out.

        Raises TemporaryFailure where no engine, or no worker, could answer, and WorkerDied where
        one died of this message, or all are at their end.
        """
        while not self._ended:
            awake = [worker for worker in self._workers if not worker.rests] or self._workers
            able = (worker for worker in awake if worker.has_room)
            worker = min(able, key=Worker.load, default=None)
            if worker is None:
                freed = asyncio.get_running_loop().create_future()
                self._waiting.append(freed)
                await freed
                continue
            try:
                return await worker.ask(message, self._out())
            except TakenBack:
                continue
            except NotStarted as failure:
                if not self._goes_on(failure):
                    raise
        raise WorkerDied("worker: it was told to end")

    def _goes_on(self, failure: NotStarted) -> bool:
        """Whether others work, or may, while this one rests: then the log alone hears of it."""
        goes_on = not all(worker.is_down for worker in self._workers)
        if goes_on:
            log.event("scanner", "-", logging.WARNING, event="worker-rests", error=failure)
        return goes_on

    def _freed(self) -> None:
        """A worker may take one more: see again."""
        while self._waiting:
            freed = self._waiting.popleft()
            if not freed.done():
                freed.set_result(None)

    def kill(self) -> None:
        """End them all; whoever waits for an answer gets WorkerDied."""
        self._ended = True
        for worker in self._workers:
            worker.kill()
        self._freed()

    def stop(self) -> None:
        """End the processes; what they had in hand stays in scanning/."""
        self._ended = True
        for worker in self._workers:
            worker.stop()
