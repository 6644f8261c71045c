"""A mail server for tests: honest unless told otherwise, step by step.

``answers`` replaces what it says at a step (CONNECT, EHLO, LHLO, HELO, MAIL, RCPT, DATA, END, RSET,
QUIT).  A value is a reply as it goes over the wire but for its last CRLF, or one of the actions
below, or a function of the command's argument (at END of the recipient, in LMTP) that gives either.
It runs in the test's own event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Self


class Act(Enum):
    """What a server may do instead of answering."""

    DROP = "closes the connection"
    HANG = "says nothing more"


@dataclass(frozen=True)
class Then:
    """An answer (raw bytes, nothing added), and then the connection is closed."""

    answer: bytes


Answer = str | Act | Then
Answers = Mapping[str, Answer | Callable[[str], Answer]]


@dataclass(frozen=True)
class Delivery:
    """A message the server took; ``data`` is without the stuffed dots."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    parameters: str


class Closed(Exception):
    """The script ended the connection."""


class Peer:
    """``async with Peer(...) as peer``; then `port`, `deliveries`, `commands`, `connections`."""

    def __init__(
        self,
        answers: Answers | None = None,
        *,
        lmtp: bool = False,
        features: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SIZE 50000000"),
        path: Path | None = None,
        port: int = 0,
    ) -> None:
        self.answers = dict(answers or {})
        self.deliveries: list[Delivery] = []
        self.commands: list[str] = []
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.port = port
        self._lmtp = lmtp
        self._features = features
        self._path = path
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        if self._path is not None:
            self._server = await asyncio.start_unix_server(
                self._accept, str(self._path), limit=2**26
            )
        else:
            self._server = await asyncio.start_server(
                self._accept, "127.0.0.1", self.port, limit=2**26
            )
            self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def recipients(self) -> list[str]:
        """Everybody who got anything, once for each time."""
        return sorted(address for item in self.deliveries for address in item.recipients)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            await _Session(self, reader, writer).run()
        except (Closed, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()

    @property
    def lmtp(self) -> bool:
        return self._lmtp

    @property
    def hello(self) -> str:
        lines = ["peer.test", *self._features]
        marks = ["-"] * (len(lines) - 1) + [" "]
        return "\r\n".join(f"250{mark}{line}" for mark, line in zip(marks, lines, strict=True))


class _Session:
    def __init__(
        self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.peer, self.reader, self.writer = peer, reader, writer
        self.sender: str | None = None
        self.parameters = ""
        self.recipients: list[str] = []

    async def run(self) -> None:
        await self.say("CONNECT", "220 peer.test")
        while True:
            line = (await self.reader.readuntil(b"\r\n")).decode()[:-2]
            self.peer.commands.append(line)
            await self.command(line)

    async def command(self, line: str) -> None:
        verb, _, argument = line.partition(" ")
        path, _, parameters = argument.partition(":")[2].partition("> ")
        path = path.strip("<>")
        match verb:
            case "EHLO" | "LHLO":
                await self.say(verb, self.peer.hello)
            case "MAIL":
                if await self.say(verb, "250 2.1.0 ok", path):
                    self.sender, self.parameters, self.recipients = path, parameters, []
            case "RCPT":
                default = "503 5.5.1 MAIL first" if self.sender is None else "250 2.1.5 ok"
                if await self.say(verb, default, path):
                    self.recipients.append(path)
            case "DATA":
                default = "354 go" if self.recipients else "554 5.5.1 no valid recipients"
                if await self.say(verb, default):
                    await self.data()
            case "RSET":
                self.sender, self.recipients = None, []
                await self.say(verb, "250 2.0.0 ok")
            case "QUIT":
                await self.say(verb, "221 2.0.0 bye")
                raise Closed
            case _:
                await self.say(verb, "250 ok")

    async def data(self) -> None:
        lines = []
        while (line := await self.reader.readuntil(b"\r\n")) != b".\r\n":
            lines.append(line.removeprefix(b"."))
        data = b"".join(lines)
        sender, self.sender = self.sender or "", None
        if self.peer.lmtp:
            for recipient in self.recipients:
                if await self.say("END", "250 2.0.0 ok", recipient):
                    self.took(sender, [recipient], data)
        elif await self.say("END", "250 2.0.0 ok"):
            self.took(sender, self.recipients, data)

    def took(self, sender: str, recipients: list[str], data: bytes) -> None:
        item = Delivery(sender, tuple(recipients), data, self.parameters)
        self.peer.deliveries.append(item)

    async def say(self, step: str, default: str, argument: str = "") -> bool:
        """Whether it was a yes."""
        found = self.peer.answers.get(step, default)
        answer = found(argument) if callable(found) else found
        if answer is Act.DROP:
            raise Closed
        if answer is Act.HANG:
            await asyncio.sleep(3600)
        if isinstance(answer, Then):
            self.writer.write(answer.answer)
            await self.writer.drain()
            raise Closed
        assert isinstance(answer, str)
        self.writer.write(answer.encode() + b"\r\n")
        await self.writer.drain()
        return answer[:3] in {"220", "250", "354"}
