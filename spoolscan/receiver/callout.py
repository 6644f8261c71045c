"""Asks one next hop whether it would take mail for an address: `probe`s, a few at a time.

It never raises, and has its time: ``seconds`` to wait for one of the connections, where all are
asking, and as many for the question itself.  Who waited in vain has no answer, and that says
nothing of the next hop; one that is not there, or says nothing several times running, is left alone
for a while, and nobody waits for it.

A connection serves many questions, one after another, but not too many: servers grow slow towards
whoever asks for unknown names.  Several who ask for one address at a time get one answer.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from spoolscan.nexthop.tls import prepare, reason
from spoolscan.receiver.answers import Answer
from spoolscan.receiver.probe import WORDS, Place, Probe, TlsFailed, Unanswered
from spoolscan.receiver.reply import printable

_IDLE_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 5.0  # for which a next hop that is not there is left alone
_SILENCES: Final = 3  # questions running without an answer, until it counts as not there


class Callout:
    """``hostname`` is what we say in EHLO."""

    def __init__(self, place: Place, hostname: str, seconds: float, connections: int) -> None:
        """Raises ConfigError where TLS cannot be as the options say."""
        self._place = place
        self._tls = prepare(place.options, place.address.host)
        self._hostname = hostname
        self._seconds = seconds
        self._free = asyncio.Semaphore(connections)
        self._idle: list[Probe] = []
        self._standing = 0  # connections that have heard a hello
        self._silences = 0
        self._asked: dict[str, asyncio.Task[Answer]] = {}
        self._resumes = 0.0
        self._why = ""

    @property
    def rests(self) -> bool:
        """Whether it is left alone just now."""
        return asyncio.get_running_loop().time() < self._resumes

    async def ask(self, address: str) -> Answer:
        """``address`` is a mailbox without brackets, as `address.Path` has it."""
        if self.rests:
            return Answer(address, None, self._why)
        task = self._asked.get(address)
        if task is None:
            task = self._asked[address] = asyncio.create_task(self._ask(address))
            task.add_done_callback(lambda _: self._asked.pop(address, None))
        return await asyncio.shield(task)  # others may wait for it, too

    def close(self) -> None:
        """Hang up wherever nothing is being asked."""
        while self._idle:
            self._end(self._idle.pop())

    async def _ask(self, address: str) -> Answer:
        try:
            async with asyncio.timeout(self._seconds):
                await self._free.acquire()
        except TimeoutError:
            return self._nothing(address, f"busy with other questions for {self._seconds:g} s")
        try:
            return Answer(address, None, self._why) if self.rests else await self._question(address)
        finally:
            self._free.release()

    async def _question(self, address: str) -> Answer:
        until = asyncio.get_running_loop().time() + self._seconds
        while True:
            kept = self._idle.pop() if self._idle else None
            try:
                async with asyncio.timeout_at(until):
                    probe = kept or await self._opened()
            except (Unanswered, OSError) as error:
                return self._nothing(address, self._words(error), rest=not self._standing)
            try:
                async with asyncio.timeout_at(until):
                    answer = await self._asked_over(probe, address)
            except TimeoutError as error:
                self._silences += 1
                rest = self._silences >= _SILENCES
                return self._nothing(address, self._words(error), rest=rest)
            except (Unanswered, OSError) as error:
                if kept is not None:
                    continue  # it was too long idle for the next hop
                return self._nothing(address, self._words(error))
            self._silences = 0
            return answer

    async def _opened(self) -> Probe:
        try:
            return await self._open(self._place)
        except TlsFailed:
            if self._place.options.tls != "may":
                raise
            clear = replace(self._place.options, tls="none")
            return await self._open(replace(self._place, options=clear))

    async def _open(self, place: Place) -> Probe:
        probe = Probe(place)
        try:
            await probe.open(self._hostname, None if place.options.tls == "none" else self._tls)
        except BaseException:
            probe.abort()
            raise
        self._standing += 1
        return probe

    async def _asked_over(self, probe: Probe, address: str) -> Answer:
        try:
            answer = await probe.ask(address)
        except BaseException:
            self._end(probe)
            raise
        if probe.worn:
            self._end(probe)
        else:
            self._idle.append(probe)
            probe.hang_up_after(_IDLE_SECONDS, self._forget)
        return answer

    def _forget(self, probe: Probe) -> None:
        if probe in self._idle:
            self._idle.remove(probe)
            self._end(probe)

    def _end(self, probe: Probe) -> None:
        self._standing -= 1
        probe.abort()

    def _nothing(self, address: str, why: str, *, rest: bool = False) -> Answer:
        """``rest``: the next questions, perhaps a thousand of one message, do not wait for it."""
        words = printable(f"{self._place}: {why}", WORDS)
        if rest:
            self._resumes = asyncio.get_running_loop().time() + _PAUSE_SECONDS
            self._why = words
            self._silences = 0
        return Answer(address, None, words)

    def _words(self, error: Unanswered | OSError) -> str:
        if isinstance(error, TimeoutError):
            return f"no answer within {self._seconds:g} s"
        return reason(error) if isinstance(error, OSError) else str(error)
