"""Asks the next hop whether it would take mail for an address: MAIL FROM:<>, RCPT, and no DATA.

A yes is a 2xx to RCPT, a no is a 5xx to it, for whoever would send the mail later would hear the
same.  Everything else is no answer: a 4xx, 552 (full, RFC 5321 4.5.3.1.10), a refusal before RCPT,
silence, nonsense, nobody there.  It never raises, and takes no longer than it was given.

A connection serves many questions, one after another, but not too many: servers grow slow towards
whoever asks for unknown names.  Several who ask for one address at a time get one answer.  A next
hop that is not there is left alone for a while.  The question is asked in the clear.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from spoolscan.receiver.answers import Answer
from spoolscan.receiver.reply import printable
from spoolscan.receiver.target import Target

_LINE_BYTES: Final = 4096
_MOST_LINES: Final = 100
_WORDS: Final = 200  # characters of an answer that are kept
_QUESTIONS: Final = 50  # of one connection
_REFUSALS: Final = 8  # of one connection; Postfix begins to sleep at ten
_IDLE_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 5.0  # for which a next hop that is not there is left alone
_REPLY: Final = re.compile(rb"([2-5][0-9][0-9])(?:([ -])([^\r\n]*))?\r\n")
_FULL: Final = 552


class Unanswered(Exception):
    """What the next hop did instead of answering."""


@dataclass(frozen=True, slots=True)
class _Said:
    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return printable(f"{self.code} {' '.join(self.lines)}".strip(), _WORDS)


class Callout:
    """``seconds`` bound one question, the wait for one of ``connections`` included."""

    def __init__(self, target: Target, hostname: str, seconds: float, connections: int) -> None:
        self._target = target
        self._hostname = hostname
        self._seconds = seconds
        self._free = asyncio.Semaphore(connections)
        self._idle: list[_Line] = []
        self._asked: dict[str, asyncio.Task[Answer]] = {}
        self._resumes = 0.0
        self._why = ""

    async def ask(self, address: str) -> Answer:
        """``address`` is a mailbox without brackets, as `address.Path` has it."""
        if asyncio.get_running_loop().time() < self._resumes:
            return Answer(address, None, self._why)
        task = self._asked.get(address)
        if task is None:
            task = self._asked[address] = asyncio.create_task(self._ask(address))
            task.add_done_callback(lambda _: self._asked.pop(address, None))
        return await asyncio.shield(task)  # others may wait for it, too

    def close(self) -> None:
        """Hang up wherever nothing is being asked."""
        while self._idle:
            self._idle.pop().abort()

    async def _ask(self, address: str) -> Answer:
        try:
            async with asyncio.timeout(self._seconds), self._free:
                return await self._question(address)
        except TimeoutError:
            why = self._rest(f"no answer within {self._seconds:g} s")
        except Unanswered as error:
            why = f"{self._target}: {error}"
        except OSError as error:
            why = self._rest(error.strerror or str(error))
        return Answer(address, None, printable(why, _WORDS))

    def _rest(self, why: str) -> str:
        """It is not there: the next questions, perhaps a thousand of one message, do not wait."""
        self._resumes = asyncio.get_running_loop().time() + _PAUSE_SECONDS
        self._why = f"{self._target}: {why}"
        return self._why

    async def _question(self, address: str) -> Answer:
        while self._idle:
            line = self._idle.pop()
            with suppress(Unanswered, ConnectionError):  # it was too long idle for the next hop
                return await self._asked_over(line, address)
        line = _Line(self._target)
        try:
            await line.open(self._hostname)
        except BaseException:
            line.abort()
            raise
        return await self._asked_over(line, address)

    async def _asked_over(self, line: _Line, address: str) -> Answer:
        try:
            answer = await line.ask(address)
            if not line.worn and await line.reset():
                self._idle.append(line)
                line.hang_up_after(_IDLE_SECONDS, self._forget)
            else:
                line.abort()
        except BaseException:
            line.abort()
            raise
        return answer

    def _forget(self, line: _Line) -> None:
        with suppress(ValueError):
            self._idle.remove(line)
            line.abort()


class _Line:
    """One connection to the next hop.  Raises Unanswered, OSError; the caller ends it then."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._features: frozenset[str] = frozenset()
        self._questions = 0
        self._refusals = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self, hostname: str) -> None:
        target = self._target
        if target.path:
            streams = asyncio.open_unix_connection(target.path, limit=_LINE_BYTES)
        else:
            streams = asyncio.open_connection(target.host, target.port, limit=_LINE_BYTES)
        self._reader, self._writer = await streams
        self._wanted(await self._read(), "the greeting")
        hello = await self._say(f"{'LHLO' if target.lmtp else 'EHLO'} {hostname}")
        if hello.code >= 500 and not target.lmtp:
            hello = await self._say(f"HELO {hostname}")
        self._wanted(hello, "our hello")
        self._features = frozenset(line.split(" ")[0].upper() for line in hello.lines[1:])

    async def ask(self, address: str) -> Answer:
        self._stop_timer()
        self._questions += 1
        utf8 = "" if address.isascii() else " SMTPUTF8"
        if utf8 and "SMTPUTF8" not in self._features:
            return Answer(address, False, "it takes no internationalized addresses")
        self._wanted(await self._say(f"MAIL FROM:<>{utf8}"), "MAIL FROM:<>")
        said = await self._say(f"RCPT TO:<{address}>")
        if said.code // 100 == 2:
            return Answer(address, True, said.text)
        self._refusals += 1
        known = False if said.code // 100 == 5 and said.code != _FULL else None
        return Answer(address, known, said.text)

    async def reset(self) -> bool:
        """Whether it is fit for another question."""
        with suppress(Unanswered, OSError):
            return (await self._say("RSET")).code == 250
        return False

    @property
    def worn(self) -> bool:
        return self._questions >= _QUESTIONS or self._refusals >= _REFUSALS

    def hang_up_after(self, seconds: float, forget: Callable[[_Line], None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, forget, self)

    def abort(self) -> None:
        """Say good-bye without waiting for the answer, and close."""
        self._stop_timer()
        if self._writer is not None:
            if not self._writer.is_closing():
                self._writer.write(b"QUIT\r\n")
            self._writer.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _wanted(self, said: _Said, what: str) -> None:
        if said.code // 100 != 2:
            raise Unanswered(f"answered {what} with {said.text}")

    async def _say(self, command: str) -> _Said:
        if not command.isprintable() or self._writer is None:
            raise Unanswered("the address cannot stand in a command")
        self._writer.write(command.encode() + b"\r\n")
        await self._writer.drain()
        return await self._read()

    async def _read(self) -> _Said:
        code, lines = b"", list[str]()
        while len(lines) < _MOST_LINES:
            try:
                line = await self._reader.readline()
            except ValueError as error:
                raise Unanswered("answered with an endless line") from error
            found = _REPLY.fullmatch(line)
            if found is None or (lines and found[1] != code):
                raise Unanswered("answered with no SMTP" if line else "hung up")
            code = found[1]
            text = (found[3] or b"").decode("ascii", "replace")
            lines.append(printable(text, _LINE_BYTES))
            if found[2] != b"-":
                return _Said(int(code), tuple(lines))
        raise Unanswered("answered without end")
