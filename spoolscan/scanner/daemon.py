"""The scanner stage: watch incoming/, claim, have it judged by a worker, dispose.

One event loop: each of some tasks takes the next queue id that is due, awaits the pool's answer,
and moves the message, as many at a time as keep the workers busy.  What is short is done in the
loop; what waits for the disk (a quarantine, a notice, a long listing) in a thread.  What fails for
now goes back to incoming/ with a later time of change, and while an engine is down the tasks rest
between two attempts: nothing passes unscanned, and nobody waits long for a message that cannot be
read.

What the watch names is taken up without listing the directory; the listing, every 30 seconds, when
something is due again and after all trouble, is the truth.

Fails at start with ConfigError; afterwards every failure is one message's, told and retried.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Final

from spoolscan import log
from spoolscan.config import Config
from spoolscan.envelope import ScanMark
from spoolscan.errors import Corrupt, SpoolscanError, TemporaryFailure
from spoolscan.notices import Notifier, Templates
from spoolscan.queueid import QUEUE_ID
from spoolscan.scanner.canary import Canary
from spoolscan.scanner.disposition import Disposer, Trail
from spoolscan.scanner.engines import command
from spoolscan.scanner.hand import LOOK, WorkerDied
from spoolscan.scanner.nursery import Nursery
from spoolscan.scanner.pool import Pool
from spoolscan.scanner.room import Measure, check
from spoolscan.scanner.teller import Teller
from spoolscan.scanner.toolbox import Toolbox
from spoolscan.scanner.trouble import Trouble
from spoolscan.settled import settle
from spoolscan.spool import Entry, Gone, Incomplete, Message, Spool
from spoolscan.verdict import Report, Verdict
from spoolscan.watch import LOOK_AGAIN, RESCAN, Copying, Watch

STAGE: Final = "scanner"
_GRACE: Final = 20.0  # seconds a message may go on when we are told to stop
_LONGEST_RETRY: Final = 300.0  # seconds between two attempts at one message
_LATE: Final = (
    86_400.0  # seconds after its time that an attempt no longer tells the age of a message
)


class Scanner:
    """One scanner on one spool, under the stage's lock.  Raises ConfigError when made.

    Its workers come from ``nursery``, which is a copy of this process where there was none; without
    one, from one of its own.
    """

    def __init__(self, spool: Spool, config: Config, nursery: Nursery | None = None) -> None:
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
        self._is_lent = nursery is not None
        self._nursery = nursery or Nursery()
        if self._is_lent:
            self._nursery.fork(config, self._toolbox)
        self._pool = Pool(config, self._nursery, self._canary.out)
        self._waiting: deque[str] = deque()
        self._tried: set[str] | None = None  # with `once`: each message is tried once
        self._in_hand: set[str] = set()
        self._turn = asyncio.Lock()
        self._list_at = 0.0  # when (monotonic) the directory is listed again
        self._looked = -LOOK  # when (monotonic) the files that are edited were looked at
        self._look_at = math.inf  # and when they are to be, mail or not
        self._stopping = False

    async def run(
        self, stop: asyncio.Event, *, once: bool = False, ready: Callable[[], None] = lambda: None
    ) -> None:
        """Until ``stop`` is set, or with ``once`` until nothing is due.

        Calls ``ready`` when it accepts work.  Raises ConfigError where an engine can never work,
        TemporaryFailure where the spool cannot be read.
        """
        self._tried = set() if once else None
        self._pool = Pool(self._config, self._nursery, self._canary.out)
        self._turn, self._list_at = asyncio.Lock(), 0.0
        with Watch(self._spool.path("incoming"), STAGE) as watch:
            ending = asyncio.create_task(self._end(stop, watch))
            try:
                self._recover()
                self._pool.start()
                self._ask_engines()
                await self._prepare()
                ready()
                if not once:
                    self._canary.start()
                    settle()
                work = (self._work(watch, once) for _ in range(self._pool.size))
                await asyncio.gather(*work)
            finally:
                ending.cancel()
                self._canary.stop()
                self._pool.stop()
                if not self._is_lent:
                    self._nursery.stop()
                self._teller.tell_counted(all_of_them=True)
                self._toolbox.close()

    async def _prepare(self) -> None:
        """Wait for the workers; one that cannot start is asked again when mail comes."""
        for failure in await self._pool.prepare():
            self._trouble.met("-", str(failure))
        _tell_room(self._pool.measures)

    async def _end(self, stop: asyncio.Event, watch: Watch) -> None:
        await stop.wait()
        self._stopping = True
        watch.wake()
        await asyncio.sleep(_GRACE)
        self._pool.kill()

    async def _work(self, watch: Watch, once: bool) -> None:
        while (queue_id := self._take() or await self._next(watch, once)) is not None:
            try:
                await self._handle(queue_id)
            finally:
                self._in_hand.discard(queue_id)

    async def _next(self, watch: Watch, once: bool) -> str | None:
        """The next queue id to try; None when it is time to end.  One task at a time looks."""
        async with self._turn:
            while not self._stopping:
                rest = self._trouble.rest()
                if once and rest:
                    break
                if not self._waiting and not rest:
                    await self._look(watch)
                if (queue_id := self._take()) is not None:
                    return queue_id
                if once:
                    break
                if (counted := self._teller.pause()) == 0:
                    counted = await asyncio.to_thread(self._teller.tell_counted)
                pause = rest or min(self._list_at, self._look_at) - time.monotonic()
                await watch.wait(min(pause, RESCAN if counted is None else counted))
            return None

    def _take(self) -> str | None:
        """In hand now; None where nothing waits, or nothing is to be tried now."""
        if not self._waiting or self._stopping or self._trouble.rest():
            return None
        while self._waiting:
            queue_id = self._waiting.popleft()
            if queue_id in self._in_hand or (self._tried is not None and queue_id in self._tried):
                continue
            self._in_hand.add(queue_id)
            if self._tried is not None:
                self._tried.add(queue_id)
            return queue_id
        return None

    async def _look(self, watch: Watch) -> None:
        """Have wait what may be tried now; when there may be more is known then, too."""
        now = time.monotonic()
        if now >= self._looked + LOOK:
            self._toolbox.tools()
            self._looked, self._look_at = now, math.inf
        else:
            self._look_at = self._looked + LOOK
        names = watch.names()
        try:
            if names is None or now >= self._list_at or not all(map(QUEUE_ID.fullmatch, names)):
                await self._list()
            else:
                found = (self._spool.entry("incoming", name) for name in names)
                self._waiting.extend(it.queue_id for it in found if it and self._may_try(it))
        except TemporaryFailure as failure:
            self._list_within(1.0)
            self._trouble.met("-", str(failure))

    async def _list(self) -> None:
        """All that may be tried now, longest due first.  Raises TemporaryFailure."""
        self._list_at = time.monotonic() + RESCAN
        self._return_strays()
        found = await asyncio.to_thread(self._spool.entries, "incoming")
        # By time and not by id: what failed and waited stands behind all that came meanwhile.
        found.sort(key=attrgetter("due"))
        self._waiting = deque(entry.queue_id for entry in found if self._may_try(entry))

    def _may_try(self, entry: Entry) -> bool:
        """Whether now; else there is a listing when it may be."""
        now = time.time()
        if entry.queue_id in self._in_hand:
            return False
        if entry.is_due(now, _LONGEST_RETRY) and self._copying.may_try(entry):
            return True
        self._list_within(max(entry.due - now, 1.0))
        return False

    def _list_within(self, seconds: float) -> None:
        self._list_at = min(self._list_at, time.monotonic() + seconds)

    def _return_strays(self) -> None:
        """A message that could not even be moved back when its turn failed lies in scanning/."""
        for queue_id in self._spool.names("scanning"):
            if queue_id not in self._in_hand:
                source = self._spool.path("scanning", queue_id)
                try:
                    self._spool.shift(source, self._spool.path("incoming", queue_id))
                except SpoolscanError as error:
                    # A copy of it lies in its way, say: one message's trouble, not the others'.
                    log.event(STAGE, queue_id, logging.ERROR, event="stuck", error=error)

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

    async def _handle(self, queue_id: str) -> None:
        """One message.  Every failure ends here, with the message kept."""
        try:
            message = self._spool.claim(queue_id)
        except Gone:
            return
        except Incomplete as error:
            self._list_within(LOOK_AGAIN)
            if self._copying.has_stopped(queue_id):
                reason = f"{error}; it has not grown for long"
                await asyncio.to_thread(self._set_aside, "incoming", queue_id, reason)
            return
        except Corrupt as error:
            await asyncio.to_thread(self._set_aside, "incoming", queue_id, str(error))
            return
        except TemporaryFailure as failure:
            self._list_within(1.0)
            await asyncio.to_thread(self._trouble.met, queue_id, str(failure))
            return
        self._copying.forget(queue_id)
        with message:
            try:
                await self._judge(message)
            except Gone:
                log.event(STAGE, queue_id, event="gone", reason="moved by hand while in work")
            except WorkerDied as error:
                # When we are stopping by our own hand, perhaps: no fault of the message.
                back = self._put_back if self._stopping else self._give_back
                await asyncio.to_thread(back, message, str(error))
            except SpoolscanError as error:
                await asyncio.to_thread(self._put_back, message, str(error))
            except Exception as error:
                # What is not understood is temporary: the message stays, and the log has the place.
                log.failure(STAGE, queue_id, error)
                reason = f"{type(error).__name__}: {error}"
                await asyncio.to_thread(self._put_back, message, reason)

    async def _judge(self, message: Message) -> None:
        """Raises as `Pool.ask` and `Disposer.dispose`."""
        began = time.monotonic()
        with await self._pool.ask(message) as answer:
            report = answer.report
            trail = Trail(began, time.monotonic(), self._heard(report))
            if self._disposer.fate(report).state == "outgoing":
                self._disposer.dispose(message, report, answer.parts, trail)
            else:
                dispose = self._disposer.dispose
                await asyncio.to_thread(dispose, message, report, answer.parts, trail)
        self._trouble.over(message.id, engines_answered=_asked_engines(report))

    def _heard(self, report: Report) -> dict[str, str]:
        """The engines that saw something of a message, with their versions."""
        if report.verdict is not Verdict.INFECTED and not _asked_engines(report):
            return {}
        out = self._canary.out()
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
