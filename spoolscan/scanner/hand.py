"""The daemon's end of one worker process: questions go out, answers come back in the same order.

A worker that dies, hangs past the deadline, or answers nonsense costs one message an attempt: the
one whose turn it was.  Its `Worker.ask` raises `WorkerDied`, that of those behind it `TakenBack`;
the next call starts another process.  Where one takes long, those behind it are taken back, too,
and the worker is told, lest it read them for nobody.  One that cannot even start is no message's
fault, and a TemporaryFailure.  The worker is given a read-only descriptor, never a path.

Once a second, while there is mail, it is asked whether its files were edited; the answer to that
comes before the next message goes to it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from spoolscan.config import Config
from spoolscan.errors import ConfigError, SpoolscanError, TemporaryFailure
from spoolscan.scanner import wire
from spoolscan.scanner.answer import Answer
from spoolscan.scanner.nursery import Nursery
from spoolscan.scanner.process import Process
from spoolscan.scanner.room import Measure
from spoolscan.spool import Message

AHEAD: Final = 4  # messages that one worker has, the one it reads among them
_START: Final = 60.0  # seconds for a worker to get ready
LOOK: Final = 1.0  # seconds in which an edited pattern need not count yet
_REST: Final = 1.0  # seconds after it could not start, at the least
_LIFE: Final = 1000  # messages; so that nothing gathers in a room for ever
_SLOW: Final = 0.5  # seconds of one message after which the others are taken back
_NO_MATTER: Final = 5.0  # seconds by which our own clock may be late, and it is still the worker's
_LAST_WORDS: Final = 2.0  # seconds for a worker that broke off to say why, in the log


class WorkerDied(SpoolscanError):
    """The worker ended, hung or spoke nonsense with this message in hand."""


class NotStarted(TemporaryFailure):
    """This worker cannot start for now; another one may have."""


class TakenBack(Exception):
    """Its turn has not come; ask again, this one or another."""


@dataclass(slots=True)
class _Question:
    """``answer`` is done already where it was taken back: nobody wants what comes."""

    answer: asyncio.Future[Answer]
    since: float = 0.0  # when its turn came (monotonic)


class Worker:
    """One worker process of a ``nursery``, started when first asked.  For one event loop.

    ``freed`` is called when there is room for one more question.
    """

    def __init__(
        self, config: Config, nursery: Nursery, freed: Callable[[], None] = lambda: None
    ) -> None:
        self._config = config
        self._nursery = nursery
        self._freed = freed
        self._process: Process | None = None  # since it has said which
        self._control: socket.socket | None = None
        self._peer: socket.socket | None = None
        self._frames = wire.Frames()
        self._asked: deque[_Question] = deque()
        self._coming = 0  # questions that wait until it is ready
        self._quiet = asyncio.Event()
        self._turn = asyncio.Lock()
        self._out: frozenset[str] = frozenset()
        self._looked = -LOOK
        self._left = 0
        self._failures = 0  # to start
        self.is_down = False  # since the last of them
        self._resumes = 0.0  # when it is tried again (monotonic)
        self._timer: asyncio.TimerHandle | None = None
        self._tick_at = 0.0  # (monotonic)
        self.measures: list[Measure] = []  # that are in force, and that are not, since it is ready

    # -- the process ---------------------------------------------------------------------------

    def start(self) -> None:
        """Have the process forked; it gets ready while we wait for mail.  Raises OSError."""
        if self._control is not None:
            return
        ours, theirs = socket.socketpair()
        with theirs:
            self._nursery.bear(self._config, theirs)
        self._control = ours

    def kill(self) -> None:
        """Whoever waits for its answer gets WorkerDied."""
        if self._process is not None:
            self._process.kill()
        elif self._control is not None:
            self._control.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        """End the process; what it had in hand stays in scanning/."""
        self._broken("it was told to end")

    def _over(self, reason: str) -> None:
        """No more is said to it: each that was asked hears of that."""
        self._part()
        if self._control is not None:
            # A thread may wait for what it says of its room.
            self._control.shutdown(socket.SHUT_RDWR)
            self._control.close()
            self._control = None
        died: Exception = WorkerDied(f"worker: {reason}")
        while self._asked:
            answer = self._asked.popleft().answer
            if not answer.done():
                answer.set_exception(died)
            died = TakenBack()
        self._quiet.set()
        self._freed()

    def _part(self) -> None:
        """From the room it had."""
        if self._peer is not None:
            asyncio.get_running_loop().remove_reader(self._peer)
            self._peer.close()
            self._peer = None
        self._frames.close()
        self._frames = wire.Frames()

    def _broken(self, reason: str) -> None:
        self._over(reason)
        self._bury()

    def _bury(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.close()
            self._process = None

    # -- getting ready -------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Return when the process is ready for mail.  Raises TemporaryFailure, ConfigError."""
        await self._ready(self._out)

    async def _ready(self, out: frozenset[str]) -> None:
        """Until it judges by what counts now.  Raises as `prepare`."""
        failures = self._failures
        async with self._turn:
            if self._failures != failures:  # while we waited: trying again at once is no use
                raise NotStarted("a scanner worker cannot start")
            if self._is_ready(out):
                return
            while self._asked:
                if self._is_slow(time.monotonic()):
                    raise TakenBack
                self._quiet.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._quiet.wait(), _SLOW)
            try:
                await self._look(out)
            except (OSError, LookupError, TypeError, ValueError, wire.Broken) as error:
                self._broken(str(error))
                self._failures += 1
                self.is_down = True
                self._resumes = time.monotonic() + max(self._config.scanner.retry, _REST)
                raise NotStarted(f"a scanner worker cannot start: {error}") from error
            self.is_down = False
            self._check_room()

    def _is_ready(self, out: frozenset[str]) -> bool:
        return (
            self._peer is not None
            and out == self._out
            and self._left > 0
            and time.monotonic() < self._looked + LOOK
        )

    async def _look(self, out: frozenset[str]) -> None:
        """Have it look at its files; a new process, and a new room, come with a new socket."""
        if self._peer is None or self._control is None:
            await asyncio.to_thread(self._begin)
            await self._hear_birth()
            await self._hear_room()
        control, peer = self._control, self._peer
        if control is None or peer is None:
            raise wire.Broken(wire.ENDED)
        if out != self._out or self._looked + LOOK <= time.monotonic() or self._left <= 0:
            # The end of the old room, should it come to that, is nobody's death.
            asyncio.get_running_loop().remove_reader(peer)
            wire.send(control, {"out": sorted(out), "worn": self._left <= 0})
            await self._hear_room()
        self._out = out

    def _begin(self) -> None:
        """Another process, when the last one has said why it ended."""
        if self._control is None and self._process is not None:
            self._process.wait(_LAST_WORDS)
            self._bury()
        self._out = frozenset()
        self.start()

    async def _hear_birth(self) -> None:
        """Which process it is.  Raises as `_heard`."""
        if self._process is not None:
            return
        try:
            content, (descriptor,) = await self._heard()
        except TimeoutError:
            self._nursery.stop()
            raise
        self._process = Process(int(content["pid"]), descriptor)

    async def _heard(self) -> tuple[dict[str, Any], list[int]]:
        """The next that it says.  Raises as `wire.receive`."""
        if self._control is None:
            raise wire.Broken(wire.ENDED)
        deadline = time.monotonic() + _START
        frame = await asyncio.to_thread(wire.receive, self._control, deadline)
        if frame is None:
            raise wire.Broken("it ended before it was ready; its reason stands in the log")
        return frame

    async def _hear_room(self) -> None:
        """What it says of its room, at the start and later.  Raises as `_heard`."""
        asked = time.monotonic()
        content, descriptors = await self._heard()
        self._looked = asked
        if not descriptors and self._peer is not None:
            asyncio.get_running_loop().add_reader(self._peer, self._hear)
            return
        for more in descriptors[1:]:
            os.close(more)
        peer = socket.socket(fileno=descriptors[0])
        try:
            self.measures = [Measure.from_dict(one) for one in content["room"]]
        except BaseException:
            peer.close()
            raise
        self._part()
        peer.setblocking(False)
        self._peer, self._left = peer, _LIFE
        asyncio.get_running_loop().add_reader(peer, self._hear)

    def _check_room(self) -> None:
        """Raises ConfigError where a measure that is required is not in force."""
        lacking = [measure for measure in self.measures if not measure.in_force]
        if self._config.scanner.room == "required" and lacking:
            self.stop()
            raise ConfigError(
                'scanner.room = "required": '
                + "; ".join(f"no {one.name}: {one.detail}; {one.remedy}" for one in lacking)
            )

    # -- questions and answers -----------------------------------------------------------------

    def load(self) -> int:
        """How many questions it has."""
        return len(self._asked) + self._coming

    @property
    def rests(self) -> bool:
        """Whether it could not start, and that was not long ago."""
        return self.is_down and time.monotonic() < self._resumes

    @property
    def has_room(self) -> bool:
        """Whether a question put now would soon be answered."""
        return self.load() < AHEAD and not self._is_slow(time.monotonic())

    def _is_slow(self, now: float) -> bool:
        return bool(self._asked) and now - self._asked[0].since > _SLOW

    async def ask(self, message: Message, out: frozenset[str] = frozenset()) -> Answer:
        """Have a message judged, without the engines that are ``out``.

        Raises TemporaryFailure (an engine could not answer, or the message not be handed over),
        TakenBack, and WorkerDied: whatever else goes wrong, so that no answer is ever taken for
        that to another question.
        """
        if self._turn.locked() or not self._is_ready(out):
            self._coming += 1
            try:
                await self._ready(out)
            finally:
                self._coming -= 1
        return await self._put(message)

    def _put(self, message: Message) -> asyncio.Future[Answer]:
        """Raises TemporaryFailure, TakenBack."""
        try:
            self._send(message)
        except (BrokenPipeError, BlockingIOError) as error:
            self._broken(str(error))
            raise TakenBack from error  # it ended before, or does not listen: it never saw this one
        except OSError as error:
            raise TemporaryFailure(f"handing a message to a worker: {error}") from error
        question = _Question(asyncio.get_running_loop().create_future(), time.monotonic())
        self._asked.append(question)
        self._left -= 1
        if self._timer is None:
            self._tick_soon()
        return question.answer

    def _send(self, message: Message) -> None:
        """Raises OSError; nothing was said then, for it is short."""
        if self._peer is None:
            raise BrokenPipeError(wire.ENDED)
        descriptor = os.open(f"/proc/self/fd/{message.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            question = {"offset": message.body_offset, "size": message.size}
            wire.send(self._peer, question, [descriptor])
        finally:
            os.close(descriptor)

    def _hear(self) -> None:
        """Its socket can be read from."""
        if self._peer is None:
            return
        try:
            for content, descriptors in self._frames.hear(self._peer):
                self._answered(content, descriptors)
        except BlockingIOError:
            return
        except wire.Broken as error:
            if self._asked:  # of that, perhaps: the next is not to lie alike in memory
                self._nursery.stop()
            # One that ended by itself is left alone until it has said why, in the log.
            end = self._over if str(error) == wire.ENDED else self._broken
            end(str(error))
        except Exception as error:
            self._broken(str(error))

    def _answered(self, content: dict[str, Any], descriptors: list[int]) -> None:
        """Raises whatever is wrong with it."""
        answer: Answer | None = None
        failure: TemporaryFailure | None = None
        try:
            answer = Answer.of_frame(content, descriptors, self._config.bounds.decoded_bytes)
        except TemporaryFailure as error:
            failure = error
        waiting = self._asked.popleft().answer if self._asked else None
        if waiting is not None and not waiting.done():
            if answer is not None:
                waiting.set_result(answer)
            elif failure is not None:
                waiting.set_exception(failure)
        elif answer is not None:
            answer.close()
        if waiting is None:
            raise wire.Broken("an answer that nobody asked for")
        if self._asked:
            self._asked[0].since = time.monotonic()
        else:
            self._quiet.set()
        self._freed()

    def _tick(self) -> None:
        """Look at how long the one whose turn it is has taken; again and again while one has."""
        self._timer = None
        if not self._asked:
            return
        now = time.monotonic()
        late = now - self._tick_at
        if late > _NO_MATTER:  # we were stopped, and the worker with us, perhaps
            self._asked[0].since += late
        if now - self._asked[0].since > self._config.scanner.timeout:
            self._broken("no answer in time")
            return
        if self._is_slow(now):
            self._take_back()
        self._tick_soon()

    def _tick_soon(self) -> None:
        self._tick_at = time.monotonic() + _SLOW
        self._timer = asyncio.get_running_loop().call_later(_SLOW, self._tick)

    def _take_back(self) -> None:
        """All but the one whose turn it is."""
        behind = [question.answer for question in self._asked][1:]
        if self._peer is None or all(answer.done() for answer in behind):
            return
        for answer in behind:
            if not answer.done():
                answer.set_exception(TakenBack())
        with suppress(OSError):  # it ended, or does not listen: that is heard soon
            wire.send(self._peer, {"back": len(behind)})
