"""The scanner stage: watch incoming/, claim, have it judged by a worker, dispose.

One task a worker: it takes the next queue id that is due, and a thread of its own waits for the
worker's answer, and goes on with the next as long as there is one, so as many messages are in hand
as there are workers.  What fails for now goes
back to incoming/ with a later time of change, and while an engine is down the tasks rest between
two attempts: nothing passes unscanned, and nobody waits long for a message that cannot be read.

Fails at start with ConfigError; afterwards every failure is one message's, told and retried.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Final

from spoolscan import log
from spoolscan.config import Config
from spoolscan.envelope import ScanMark
from spoolscan.errors import ConfigError, Corrupt, SpoolscanError, TemporaryFailure
from spoolscan.notices import Notifier, Templates
from spoolscan.scanner.canary import Canary
from spoolscan.scanner.disposition import Disposer, Trail
from spoolscan.scanner.engines import command
from spoolscan.scanner.pool import Worker, WorkerDied
from spoolscan.scanner.room import Measure, check
from spoolscan.scanner.teller import Teller
from spoolscan.scanner.toolbox import Toolbox
from spoolscan.scanner.trouble import Trouble
from spoolscan.spool import Gone, Incomplete, Message, Spool
from spoolscan.verdict import Report, Verdict
from spoolscan.watch import RESCAN, Copying, Watch

STAGE: Final = "scanner"
_GRACE: Final = 20.0  # seconds a message may go on when we are told to stop
_LONGEST_RETRY: Final = 300.0  # seconds between two attempts at one message
_LATE: Final = (
    86_400.0  # seconds after its time that an attempt no longer tells the age of a message
)


class Scanner:
    """One scanner on one spool, under the stage's lock.  Raises ConfigError when made."""

    def __init__(self, spool: Spool, config: Config) -> None:
        self._spool = spool
        self._config = config
        self._toolbox = Toolbox(config, _tell)
        check(config.scanner.user)
        templates = Templates(config.template_folders())
        notifier = Notifier(spool, templates, config.site.hostname)
        self._teller = Teller(config.notices, notifier)
        self._canary = Canary(self._toolbox.engines, config, notifier)
        self._disposer = Disposer(spool, config, templates, self._teller)
        self._trouble = Trouble(notifier, config, spool.path("incoming"))
        self._copying = Copying()
        self._workers = [Worker(config) for _ in range(config.worker_count())]
        self._waiting: deque[str] = deque()
        self._tried: set[str] | None = None  # with `once`: each message is tried once
        self._in_hand: set[str] = set()
        self._hands = threading.Lock()  # no message passes from hand to hand during a listing
        self._turn = asyncio.Lock()
        self._stopping = False

    async def run(
        self, stop: asyncio.Event, *, once: bool = False, ready: Callable[[], None] = lambda: None
    ) -> None:
        """Until ``stop`` is set, or with ``once`` until nothing is due.

        Calls ``ready`` when it accepts work.  Raises ConfigError where an engine can never work,
        TemporaryFailure where the spool cannot be read.
        """
        self._tried = set() if once else None
        with (
            ThreadPoolExecutor(len(self._workers)) as threads,
            Watch(self._spool.path("incoming"), STAGE) as watch,
        ):
            ending = asyncio.create_task(self._end(stop, watch))
            try:
                self._recover()
                for worker in self._workers:
                    worker.start()
                self._ask_engines()
                await self._prepare(threads)
                ready()
                if not once:
                    self._canary.start()
                work = (self._work(worker, threads, watch, once) for worker in self._workers)
                await asyncio.gather(*work)
            finally:
                ending.cancel()
                self._canary.stop()
                for worker in self._workers:
                    worker.stop()
                self._teller.tell_counted(all_of_them=True)
                self._toolbox.close()

    async def _prepare(self, threads: ThreadPoolExecutor) -> None:
        """Wait for the workers; one that cannot start is asked again when mail comes."""
        loop = asyncio.get_running_loop()
        starts = (loop.run_in_executor(threads, worker.prepare) for worker in self._workers)
        for outcome in await asyncio.gather(*starts, return_exceptions=True):
            if isinstance(outcome, ConfigError):
                raise outcome
            if outcome is not None:
                self._trouble.met("-", str(outcome))
        _tell_room(next((worker.measures for worker in self._workers if worker.measures), []))

    async def _end(self, stop: asyncio.Event, watch: Watch) -> None:
        await stop.wait()
        self._stopping = True
        watch.wake()
        await asyncio.sleep(_GRACE)
        for worker in self._workers:
            worker.kill()

    async def _work(
        self, worker: Worker, threads: ThreadPoolExecutor, watch: Watch, once: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        while (queue_id := await self._next(watch, once)) is not None:
            await loop.run_in_executor(threads, self._handle_all, queue_id, worker)

    async def _next(self, watch: Watch, once: bool) -> str | None:
        """The next queue id to try; None when it is time to end.  One task at a time looks."""
        async with self._turn:
            while not self._stopping:
                rest, pause = self._trouble.rest(), 0.0
                if once and rest:
                    break
                if not self._waiting and not rest:
                    with self._hands:
                        self._waiting, pause = self._due()
                if (queue_id := self._take()) is not None:
                    return queue_id
                if once:
                    break
                counted = self._teller.tell_counted()
                await watch.wait(min(rest or pause, counted or RESCAN))
            return None

    def _take(self) -> str | None:
        """In hand now; None where nothing waits, or nothing is to be tried now."""
        if self._stopping or self._trouble.rest():
            return None
        with self._hands:
            if not self._waiting:
                return None
            queue_id = self._waiting.popleft()
            self._in_hand.add(queue_id)
            if self._tried is not None:
                self._tried.add(queue_id)
            return queue_id

    def _due(self) -> tuple[deque[str], float]:
        """What may be tried now, longest due first; how long until the next may (seconds)."""
        self._toolbox.tools()
        now = time.time()
        due: deque[str] = deque()
        pause = RESCAN
        try:
            self._return_strays()
            # By time and not by id: what failed and waited stands behind all that came meanwhile.
            for entry in sorted(self._spool.entries("incoming"), key=attrgetter("due")):
                if entry.queue_id in self._in_hand or entry.queue_id in (self._tried or ()):
                    continue
                if entry.is_due(now, _LONGEST_RETRY) and self._copying.may_try(entry):
                    due.append(entry.queue_id)
                else:
                    pause = min(pause, max(entry.due - now, 1.0))
        except TemporaryFailure as failure:
            self._trouble.met("-", str(failure))
        return due, pause

    def _return_strays(self) -> None:
        """A message that could not even be moved back when its turn failed lies in scanning/."""
        for entry in self._spool.entries("scanning"):
            if entry.queue_id not in self._in_hand:
                source = self._spool.path("scanning", entry.queue_id)
                try:
                    self._spool.shift(source, self._spool.path("incoming", entry.queue_id))
                except SpoolscanError as error:
                    # A copy of it lies in its way, say: one message's trouble, not the others'.
                    log.event(STAGE, entry.queue_id, logging.ERROR, event="stuck", error=error)

    def _recover(self) -> None:
        command.sweep(Path(self._spool.path("var")))
        for queue_id, tries, state in self._spool.recover(self._config.scanner.attempts):
            log.event(STAGE, queue_id, logging.WARNING, event="recovered", tries=tries, to=state)

    def _ask_engines(self) -> None:
        """Log each engine's version; one that is down is told of, one that cannot work is fatal.

        Each that answers is proven at once, so that no mail is judged by one that lies.
        """
        for engine in self._toolbox.engines:
            try:
                log.event(STAGE, event="engine", name=engine.name, version=engine.awake())
            except TemporaryFailure as failure:
                _tell(f"{engine.name}: {failure}")
            else:
                self._canary.prove(engine)

    def _handle_all(self, first: str, worker: Worker) -> None:
        """One message after the other, in a thread."""
        queue_id: str | None = first
        while queue_id is not None:
            try:
                self._handle(queue_id, worker)
            finally:
                with self._hands:
                    self._in_hand.discard(queue_id)
            queue_id = self._take()

    def _handle(self, queue_id: str, worker: Worker) -> None:
        """One message, in a thread.  Every failure ends here, with the message kept."""
        try:
            message = self._spool.claim(queue_id)
        except Gone:
            return
        except Incomplete as error:
            self._incomplete(queue_id, error)
            return
        except Corrupt as error:
            self._set_aside("incoming", queue_id, str(error))
            return
        except TemporaryFailure as failure:
            self._trouble.met(queue_id, str(failure))
            return
        self._copying.forget(queue_id)
        began = time.monotonic()
        with message:
            try:
                out = self._canary.out()
                with worker.ask(message, out) as answer:
                    trail = Trail(began, time.monotonic(), self._heard(answer.report, out))
                    self._disposer.dispose(message, answer.report, answer.parts, trail)
                self._trouble.over(queue_id, engines_answered=_asked_engines(answer.report))
            except Gone:
                log.event(STAGE, queue_id, event="gone", reason="moved by hand while in work")
            except WorkerDied as error:
                if self._stopping:  # by our own hand, perhaps: no fault of the message
                    self._put_back(message, str(error))
                else:
                    self._give_back(message, str(error))
            except SpoolscanError as error:
                self._put_back(message, str(error))
            except Exception as error:
                # What is not understood is temporary: the message stays, and the log has the place.
                log.failure(STAGE, queue_id, error)
                self._put_back(message, f"{type(error).__name__}: {error}")

    def _heard(self, report: Report, out: frozenset[str]) -> dict[str, str]:
        """The engines that saw something of a message, with their versions."""
        if report.verdict is not Verdict.INFECTED and not _asked_engines(report):
            return {}
        names = [engine.name for engine in self._toolbox.engines if engine.name not in out]
        return {name: self._canary.versions.get(name, "") for name in names}

    def _give_back(self, message: Message, reason: str) -> None:
        """A worker died with it in hand: one attempt less."""
        try:
            tries, state = self._spool.give_back(message, self._config.scanner.attempts)
        except SpoolscanError as error:
            # Gone, or no room for the why.txt; `_return_strays` takes up what is in scanning/.
            log.event(STAGE, message.id, logging.ERROR, event="stuck", error=error, reason=reason)
            self._leave_for_later(message)
            return
        log.event(
            STAGE, message.id, logging.ERROR,
            event="worker-died", error=reason, tries=tries, to=state,
        )  # fmt: skip
        if state == "hold":
            self._tell_held(message.id, f"the scanner died {tries} times on it: {reason}")

    def _put_back(self, message: Message, reason: str) -> None:
        """For now it cannot be told: back to incoming/ for later, or in the end to hold/."""
        now = time.time()
        age = (datetime.now(UTC) - message.envelope.arrived).total_seconds()
        settings = self._config.scanner
        tries = message.envelope.scan.tries + self._trouble.met(message.id, reason)
        try:
            late = now - message.due >= _LATE  # we were down, or the clock has leapt
            message.mark_scan(ScanMark("-", tries))
            if tries >= settings.attempts:
                self._hold(message, f"not judged in {tries} attempts, while others were: {reason}")
                return
            if age > settings.give_up and not late:
                self._hold(message, f"not judged within {settings.give_up:g} seconds: {reason}")
                return
            message.defer(now + min(settings.retry * max(age / 60, 1), _LONGEST_RETRY))
            message.move("incoming")
        except SpoolscanError as error:
            # It stays in scanning/; `_return_strays` takes it up at the next listing.
            log.event(STAGE, message.id, logging.ERROR, event="stuck", error=error)
            self._leave_for_later(message)

    def _hold(self, message: Message, reason: str) -> None:
        message.move("hold", f"This message was set aside: {reason}.\n")
        self._tell_held(message.id, reason)

    def _tell_held(self, queue_id: str, reason: str) -> None:
        """It lies in hold/ already: that the administrator cannot be told is no reason to stop."""
        if not self._config.notices.administrator:
            return
        try:
            values: dict[str, object] = {
                "id": queue_id,
                "reason": reason,
                "path": self._spool.path("hold", queue_id),
                "incoming": self._spool.path("incoming"),
                "outgoing": self._spool.path("outgoing"),
            }
            administrator = self._config.site.administrator
            self._teller.tell(queue_id, "held.txt", administrator, f"held: {reason}", values)
            self._teller.done(queue_id)
        except SpoolscanError as error:
            log.event(STAGE, queue_id, logging.ERROR, event="notice-failed", error=error)

    def _leave_for_later(self, message: Message) -> None:
        """What could not be moved must not be tried again at once, and again."""
        with suppress(SpoolscanError):
            message.defer(time.time() + _LONGEST_RETRY)

    def _incomplete(self, queue_id: str, error: Incomplete) -> None:
        if self._copying.has_stopped(queue_id):
            self._set_aside("incoming", queue_id, f"{error}; it has not grown for long")

    def _set_aside(self, state: str, queue_id: str, reason: str) -> None:
        log.event(STAGE, queue_id, logging.ERROR, event="corrupt", reason=reason, to="hold")
        try:
            self._spool.hold(state, queue_id, f"Not a whole spool file: {reason}\n")
            self._tell_held(queue_id, f"not a whole spool file: {reason}")
        except SpoolscanError as error:
            self._trouble.met(queue_id, str(error))


def _asked_engines(report: Report) -> bool:
    """Whether all of them answered: not for harmless mail, and a hit outweighs one that failed."""
    return report.verdict < Verdict.BANNED and any(part.suspicious for part in report.parts)


def _tell_room(measures: Sequence[Measure]) -> None:
    """How the workers are locked up, in one line; loud where they are not, or not wholly."""
    locked = [f"{one.name} {one.detail}".strip() for one in measures if one.in_force]
    lacking = [f"{one.name} ({one.detail}): {one.remedy}" for one in measures if not one.in_force]
    log.event(
        STAGE, "-", logging.INFO if locked and not lacking else logging.WARNING,
        event="room", in_force="; ".join(locked) or "-", lacking="; ".join(lacking) or "-",
    )  # fmt: skip


def _tell(text: str) -> None:
    log.event(STAGE, "-", logging.WARNING, event="notice", text=text)
