"""The forwarder: drains outgoing/ to the next hops.

It is told what comes into outgoing/, and lists the directory at least every 30 seconds: the listing
is the truth.  A message is opened, and attempted at once if its next hop takes another; else it
waits in memory, untouched on the disk.  A next hop gets so many deliveries at once and no more, and
one that is down is left alone and asked again with a single message: it costs the others nothing.

Guarantees: a recipient is marked SENT before anything else is done, and the mark is on the disk
before another next hop is waited for, or anybody is told.  With nobody left to wait for or to tell
the file goes (`removals`), and its marks need not last.  Whatever goes wrong on the way, known
or not, leaves the recipient to be tried again.  A crash, or a connection lost between the end of a
message and its answer, costs at most a duplicate.  Memory does not grow with the size of messages.

A little longer than most modules here, so that the way of a message, from what came to where it is
put, is read in one place.

`Forwarder.run` goes on until told to stop, `run_once` does what is due and ends.  The stage's lock
is the caller's to take (`Spool.lock`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Coroutine, Iterable, Mapping, Sequence, Set
from dataclasses import replace

from spoolscan import log
from spoolscan.config import Config
from spoolscan.envelope import SENT
from spoolscan.errors import Corrupt, TemporaryFailure
from spoolscan.forwarder import attempt
from spoolscan.forwarder.arrivals import Arrivals, Found
from spoolscan.forwarder.attempt import Work
from spoolscan.forwarder.delivery import Fate, NextHopDown, Outcome
from spoolscan.forwarder.destinations import Destinations, maker_for, read_routes
from spoolscan.forwarder.hop import Hop, Waiting, words
from spoolscan.forwarder.removals import Removals
from spoolscan.nexthop.read import Routes
from spoolscan.notices import Templates
from spoolscan.queueid import QUEUE_ID
from spoolscan.spool import Gone, Incomplete, Replaced, Spool
from spoolscan.watch import LOOK_AGAIN, RESCAN, Watch

_AFTER_TROUBLE = 1.0  # seconds until a listing that failed is tried again
_LISTING_COST = 5  # a listing that takes a second is followed by five without one
_IN_TURNS = 50  # fresh messages begun before those that wait for a next hop have a turn again
_HOPS_AT_ONCE = 20  # for one message


class Forwarder:
    """The stage.  One object, one event loop."""

    def __init__(
        self, config: Config, spool: Spool, templates: Templates, routes: Routes | None = None
    ) -> None:
        """``routes`` are read by the settings where they are not given.  Raises ConfigError."""
        settings = config.forwarder
        self._settings = settings
        self._hostname = config.site.hostname
        self._spool = spool
        self._conclusion = attempt.Conclusion(
            spool, templates, self._hostname, settings.retries.expiry
        )
        routes = read_routes(config) if routes is None else routes
        self._destinations = Destinations(routes, maker_for(config))
        self._fresh: deque[Waiting] = deque()  # not opened yet, or to be looked at in any case
        self._hurried: set[str] = set()  # of those in hand, whose next hops need not rest
        self._unmarked: dict[str, set[tuple[int, str]]] = {}  # have it, and the disk knows not
        self._arrivals = Arrivals(spool)
        self._tasks: set[asyncio.Task[None]] = set()
        self._removals = Removals(spool, self._removed, self._kept)
        self._news = asyncio.Event()  # something may be begun: a listing is made, a task has ended
        self._list_at = 0.0  # when (monotonic) all are listed again
        self._rests_until = 0.0  # and before when they are not
        self._watch: Watch | None = None
        self._stopping = False

    async def run(self, stop: asyncio.Event) -> None:
        """Forward until ``stop`` is set; then end what is in hand, within the grace."""
        loop = asyncio.get_running_loop()
        with Watch(self._spool.path("outgoing"), "forwarder") as watch:
            self._watch = watch
            helpers = [
                asyncio.create_task(self._keep_listing(watch)),
                asyncio.create_task(self._stop_with(stop)),
            ]
            try:
                while not self._stopping:
                    self._news.clear()
                    await self._dispatch()
                    patience = self._patience()
                    timer = patience is not None and loop.call_later(patience, self._news.set)
                    await self._news.wait()
                    if timer:
                        timer.cancel()
            finally:
                for helper in helpers:
                    helper.cancel()
                await asyncio.gather(*helpers, return_exceptions=True)
                await self._close()

    async def run_once(self) -> None:
        """Attempt what is due, once each, the reports that come of it included.

        Raises TemporaryFailure where outgoing/ cannot be listed.
        """
        tried: set[str] = set()
        try:
            while await self._list(tried):
                tried.update(item.entry.queue_id for item in self._fresh)
                await self._dispatch()
                while self._tasks or self._removals:
                    if self._tasks:
                        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                    else:
                        await self._removals.close()
                    await self._dispatch()
        finally:
            await self._close()

    @property
    def fresh(self) -> int:
        """Messages that are listed and not opened yet."""
        return len(self._fresh)

    @property
    def waiting(self) -> int:
        """Messages that wait in memory for a next hop, their files untouched."""
        return sum(len(hop.waiting) for hop in self._destinations)

    # What there is to do

    async def _stop_with(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._stopping = True
        self._news.set()

    async def _keep_listing(self, watch: Watch) -> None:
        while True:
            try:
                await self._look(watch)
            except Exception as error:
                log.event("forwarder", "-", logging.ERROR, problem=words(error))
                self._list_at = time.monotonic() + _AFTER_TROUBLE
            self._news.set()
            await watch.wait(self._list_at - time.monotonic())

    async def _look(self, watch: Watch) -> None:
        """At what came; at all there is when it is time, or nobody can tell what came."""
        names = watch.names()
        if names is not None and all(map(QUEUE_ID.fullmatch, names)) and not self._is_time:
            self._take(self._arrivals.look_at(names))
            return
        await asyncio.sleep(self._rests_until - time.monotonic())
        watch.names()  # of what came meanwhile, too, the listing tells
        began = time.monotonic()
        await self._list()
        ended = time.monotonic()
        self._rests_until = ended + _LISTING_COST * (ended - began)

    @property
    def _is_time(self) -> bool:
        return time.monotonic() >= self._list_at

    async def _list(self, skip: Set[str] = frozenset()) -> int:
        """Find what is due and not known yet; returns how many.  Raises TemporaryFailure."""
        self._list_at = time.monotonic() + RESCAN
        found = await self._arrivals.look(skip)
        now, elsewhere = time.time(), self._destinations.changed()
        for hop in self._destinations:
            self._fresh.extend(hop.take(lambda item: elsewhere or item.look <= now))
        self._take(found)
        await self._destinations.forget_idle()
        return len(found.due)

    def _take(self, found: Found) -> None:
        self._list_at = min(self._list_at, time.monotonic() + found.soonest)
        self._fresh.extend(map(Waiting, found.due))
        if found.hurried:  # `spoolscan queue flush`
            self._hurried |= found.hurried
            for hop in self._destinations:
                self._fresh.extendleft(hop.take(lambda item: item.entry.queue_id in found.hurried))

    def _patience(self) -> float | None:
        """Seconds until a next hop that is down is to be asked again, if somebody waits for it."""
        if not self._has_room():  # who makes some tells
            return None
        pauses = (hop.pause() for hop in self._destinations)
        return min((pause for pause in pauses if pause is not None), default=None)

    async def _dispatch(self) -> None:
        """Begin with all that can be begun: in turns those that wait for a next hop, and others."""
        begun = True
        while begun and not self._stopping:
            begun = False
            for hop in self._destinations:
                if hop.waiting and hop.admits() and self._has_room():
                    self._begin(hop.waiting.popleft())
                    begun = True
            for number in range(_IN_TURNS):
                if self._fresh and self._has_room():
                    # From both ends: new mail does not stand behind a long queue.
                    newest = number % 2
                    self._begin(self._fresh.pop() if newest else self._fresh.popleft())
                    begun = True
            if self._fresh:
                await asyncio.sleep(0)  # those that were begun have their turn, too

    def _has_room(self) -> bool:
        most = self._settings.deliveries
        return not self._stopping and len(self._tasks) < most and len(self._removals) < most

    def _begin(self, item: Waiting) -> None:
        """Open a message and start on it, or let it wait for its next hop."""
        entry, work = item.entry, None
        try:
            # Here and not in a thread: it reads a few pages that were written just now.
            unmarked = self._unmarked.get(entry.queue_id, set())
            work = attempt.take(self._spool, entry.queue_id, entry.due, unmarked)
            self._unmarked.pop(entry.queue_id, None)
            work = replace(work, arrived=self._arrivals.since(entry.queue_id, work.arrived))
            self._arrivals.copying.forget(entry.queue_id)
            groups = self._destinations.groups(
                (index, address) for index, address in work.pending if index not in item.heard
            )
        except Exception as error:
            if work is not None:
                work.message.close()
            self._kept(entry.queue_id, error)
            return
        if entry.queue_id in self._hurried:
            self._hurried.discard(entry.queue_id)
            for hop in groups:
                hop.ask_now()
        ready = [hop for hop in groups if hop.admits()][:_HOPS_AT_ONCE]
        look = self._settings.retries.look(work.arrived, warned=work.warned)
        if groups and not ready and not (time.time() >= look and all(h.is_down() for h in groups)):
            work.message.close()
            waiting = replace(item, look=look, several=len(groups) > 1)
            _soonest(groups).waiting.append(waiting)
            return
        for hop in ready:
            hop.throttle.busy += 1
        self._start(self._forward(item, work, groups, ready))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _list_in(self, seconds: float) -> None:
        """Something is due then."""
        at = time.monotonic() + seconds
        if at < self._list_at:
            self._list_at = at
            if self._watch is not None:
                self._watch.wake()  # it waits for too long otherwise

    def _forget(self, queue_id: str) -> None:
        self._hurried.discard(queue_id)
        self._arrivals.forget(queue_id)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._news.set()

    def _removed(self, queue_id: str) -> None:
        self._forget(queue_id)
        self._news.set()

    def _kept(self, queue_id: str, error: Exception) -> None:
        self._start(self._keep(queue_id, error))

    async def _keep(self, queue_id: str, error: Exception) -> None:
        try:
            await self._set_aside(queue_id, error)
        finally:
            self._forget(queue_id)

    # One message

    async def _forward(
        self, item: Waiting, work: Work, groups: Mapping[Hop, list[int]], ready: Sequence[Hop]
    ) -> None:
        outcomes = dict(item.heard)
        over = parked = False
        try:
            attempts = [self._attempt(hop, work, groups[hop], outcomes) for hop in ready]
            # Most have one, and need no task for it.
            ended = [await attempts[0]] if len(ready) == 1 else await asyncio.gather(*attempts)
            over = work.is_over(outcomes)
            if over:
                self._removals.add(work.message)
                return
            errors = dict(zip(ready, ended, strict=True))
            for error in errors.values():
                if isinstance(error, Corrupt):
                    raise error
            for hop, indices in groups.items():
                blank = hop.unsettled(errors.get(hop))
                outcomes.update((index, blank) for index in indices if index not in outcomes)
            unheard = [
                hop
                for hop in groups
                if hop not in ready or isinstance(errors.get(hop), NextHopDown)
            ]
            parked = await self._conclude(item, work, outcomes, unheard, groups)
        except Exception as error:
            await self._set_aside(work.message.id, error)
        finally:
            if not over:
                work.message.close()
                if not parked:
                    self._forget(work.message.id)

    async def _attempt(
        self, hop: Hop, work: Work, indices: Sequence[int], outcomes: dict[int, Outcome]
    ) -> Exception | None:
        """One next hop's share; returns what ended it early.  Outcomes are entered when known."""
        message = work.message

        async def settle(known: Mapping[int, Outcome]) -> None:
            done = [index for index, outcome in known.items() if outcome.fate is Fate.DELIVERED]
            if done:
                # Here and not in a thread: what dies before it has a duplicate.
                self._mark(work, done)
            outcomes.update(known)
            if done and len(outcomes) < len(work.pending):  # else the conclusion begins with it
                await attempt.to_the_end(message.sync_marks)
            attempt.tell(work, known, hop.route.name)

        try:
            top = attempt.scanned_line(work, self._hostname) if self._settings.mark else b""
            # A small one lies in memory, or nearly so: its beginning has just been read.
            small = message.size <= attempt.CHUNK
            mail = (
                attempt.mail(work, indices, top)
                if small
                else await asyncio.to_thread(attempt.mail, work, indices, top)
            )
            await hop.route.deliver(mail, settle)
        except Exception as error:
            hop.ended(error)
            if hop.is_down():  # what is for others, too, does not wait for this one
                self._fresh.extend(hop.take(lambda item: item.several))
            log.event(
                "forwarder", message.id, logging.WARNING, hop=hop.route.name, problem=words(error)
            )
            return error
        else:
            hop.ended(None)
            return None
        finally:
            hop.throttle.busy -= 1

    def _mark(self, work: Work, done: Sequence[int]) -> None:
        """As SENT.  Raises TemporaryFailure; then nothing is sent again before that could be done.

        (A restart forgets it, and costs a duplicate.)
        """
        try:
            work.message.write_marks(done, SENT)
        except TemporaryFailure:
            who = {one for one in work.pending if one[0] in done}
            self._unmarked.setdefault(work.message.id, set()).update(who)
            raise

    async def _conclude(
        self,
        item: Waiting,
        work: Work,
        outcomes: Mapping[int, Outcome],
        unheard: Sequence[Hop],
        groups: Mapping[Hop, list[int]],
    ) -> bool:
        """Put the message where it belongs now; True when it waits in memory for a next hop.

        ``unheard`` are next hops that said nothing of this message, being down or full.  One that
        broke off over it is not among them: such a message must not be what probes it next.
        """
        retries = self._settings.retries
        now = time.time()
        busy = [hop for hop in unheard if not hop.is_down()]
        expired = not busy and retries.expired(work.arrived, work.due, now)
        late = retries.is_late(work.arrived, now)
        draw = self._conclusion.draw
        waits = await attempt.to_the_end(draw, work, outcomes, expired=expired, late=late)
        if not waits:
            return False
        deferred = {
            index: outcome for index, outcome in outcomes.items() if outcome.fate is Fate.DEFERRED
        }
        silent = {index for hop in unheard for index in groups[hop]}
        heard = {index: outcome for index, outcome in deferred.items() if index not in silent}
        old = now - work.arrived >= retries.expiry
        if not busy and (heard or old or not unheard):
            when = retries.next(work.arrived, now)
            await asyncio.to_thread(work.message.defer, when)
            self._list_in(when - now)
            return False
        look = retries.look(work.arrived, warned=late)
        parked = replace(item, look=look, heard=heard, several=len(groups) > 1)
        if item.entry.queue_id in self._hurried:
            self._fresh.append(parked)
        else:
            _soonest(busy or unheard).waiting.appendleft(parked)
        return True

    async def _set_aside(self, queue_id: str, error: Exception) -> None:
        """What cannot be read goes to hold/, all else is tried again later.  Never raises."""
        if isinstance(error, Gone):
            if isinstance(error, Replaced):
                log.event("forwarder", queue_id, logging.WARNING, event="replaced", reason=error)
                self._list_in(0)
            self._unmarked.pop(queue_id, None)
            return
        if isinstance(error, Incomplete):
            if not self._arrivals.copying.has_stopped(queue_id):
                self._list_in(LOOK_AGAIN)
                return
            error = Corrupt(f"{error}; it has not grown for long")
        log.event("forwarder", queue_id, logging.ERROR, problem=words(error))
        try:
            if isinstance(error, Corrupt):
                why = f"This file cannot be forwarded: {error}\n"
                await asyncio.to_thread(self._spool.hold, "outgoing", queue_id, why)
            else:
                path = self._spool.path("outgoing", queue_id)
                when = time.time() + self._settings.retries.shortest
                await asyncio.to_thread(self._spool.defer, path, when)
        except Exception as trouble:
            log.event("forwarder", queue_id, logging.ERROR, problem=words(trouble))

    async def _close(self) -> None:
        self._stopping = True
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self._settings.grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._removals.close()
        if self._tasks:  # of what could not be removed
            await asyncio.wait(self._tasks)
        await self._destinations.close()


def _soonest(hops: Iterable[Hop]) -> Hop:
    """The one that can be asked first: what waits for a dead one does not wait for it alone."""
    return min(hops, key=lambda hop: hop.throttle.resumes)
