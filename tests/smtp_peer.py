"""A mail server for tests: honest unless told otherwise, step by step.

``answers`` replaces what it says at a step (CONNECT, EHLO, LHLO, HELO, STARTTLS, AUTH, XFORWARD,
MAIL, RCPT, DATA, BDAT, END, RSET, QUIT).  A value is a reply as it goes over the wire but for its
last CRLF, or one of the actions below, or a function of the command's argument (at END of the
recipient, in LMTP) that gives either.

With ``tls`` it offers STARTTLS, or shakes hands before it greets (``implicit``).  It runs in the
test's own event loop.
"""

from __future__ import annotations

import asyncio
import re
import ssl
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
    """The script ended the connection; ``yes`` where it had said yes before."""

    def __init__(self, *, yes: bool = False) -> None:
        super().__init__()
        self.yes = yes


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
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
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
        self.tls = tls
        self._implicit = implicit
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        if self._path is not None:
            self._server = await asyncio.start_unix_server(
                self._accept, str(self._path), limit=2**26
            )
        else:
            self._server = await asyncio.start_server(
                self._accept,
                "127.0.0.1",
                self.port,
                limit=2**26,
                ssl=self.tls if self._implicit else None,
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
        except (Closed, OSError, asyncio.IncompleteReadError):
            pass  # an OSError is also what a handshake fails with
        finally:
            self.open -= 1
            writer.close()

    @property
    def lmtp(self) -> bool:
        return self._lmtp

    def hello(self, *, secure: bool) -> str:
        offer = ["STARTTLS"] if self.tls is not None and not secure else []
        lines = ["peer.test", *self._features, *offer]
        marks = ["-"] * (len(lines) - 1) + [" "]
        return "\r\n".join(f"250{mark}{line}" for mark, line in zip(marks, lines, strict=True))


_YES = re.compile(rb"(?:220|250|354) [^\r\n]*\r\n")


class _Session:
    def __init__(
        self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.peer, self.reader, self.writer = peer, reader, writer
        self.sender: str | None = None
        self.parameters = ""
        self.recipients: list[str] = []
        self.chunks = b""

    @property
    def secure(self) -> bool:
        return self.writer.get_extra_info("ssl_object") is not None

    async def run(self) -> None:
        await self.say("CONNECT", "220 peer.test")
        while True:
            line = (await self.reader.readuntil(b"\r\n")).decode()[:-2]
            self.peer.commands.append(line)
            await self.command(line)

    async def command(self, line: str) -> None:
        verb, _, argument = line.partition(" ")
        if verb in ("MAIL", "RCPT", "DATA", "BDAT", "RSET"):
            await self.transaction(verb, argument)
            return
        match verb:
            case "EHLO" | "LHLO":
                await self.say(verb, self.peer.hello(secure=self.secure))
            case "STARTTLS" if self.peer.tls is not None:
                if await self.say(verb, "220 2.0.0 go"):
                    await self.writer.start_tls(self.peer.tls)
            case "AUTH":
                if argument == "LOGIN":
                    for prompt in ("334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"):
                        await self.say("PROMPT", prompt)
                        self.peer.commands.append((await self.reader.readuntil()).decode()[:-2])
                await self.say(verb, "235 2.7.0 ok", argument)
            case "QUIT":
                await self.say(verb, "221 2.0.0 bye")
                raise Closed
            case _:
                await self.say(verb, "250 ok")

    async def transaction(self, verb: str, argument: str) -> None:
        path, _, parameters = argument.partition(":")[2].partition("> ")
        path = path.strip("<>")
        match verb:
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
                self.sender, self.recipients, self.chunks = None, [], b""
                await self.say(verb, "250 2.0.0 ok")
            case "BDAT":
                await self.bdat(argument)

    async def data(self) -> None:
        lines = []
        while (line := await self.reader.readuntil(b"\r\n")) != b".\r\n":
            lines.append(line.removeprefix(b"."))
        await self.ended(b"".join(lines))

    async def bdat(self, argument: str) -> None:
        size, _, last = argument.partition(" ")
        self.chunks += await self.reader.readexactly(int(size))
        if not self.recipients:
            self.chunks = b""
            await self.say("BDAT", "503 5.5.1 no valid recipients")
        elif last:
            data, self.chunks = self.chunks, b""
            await self.ended(data)
        else:
            await self.say("BDAT", "250 2.0.0 ok")

    async def ended(self, data: bytes) -> None:
        sender, self.sender = self.sender or "", None
        if self.peer.lmtp:
            for recipient in self.recipients:
                await self.take(sender, [recipient], data)
        else:
            await self.take(sender, self.recipients, data)

    async def take(self, sender: str, recipients: list[str], data: bytes) -> None:
        try:
            if await self.say("END", "250 2.0.0 ok", recipients[0]):
                self.took(sender, recipients, data)
        except Closed as closed:
            if closed.yes:
                self.took(sender, recipients, data)
            raise

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
            raise Closed(yes=_YES.fullmatch(answer.answer) is not None)
        assert isinstance(answer, str)
        self.writer.write(answer.encode() + b"\r\n")
        await self.writer.drain()
        return answer[:3] in {"220", "250", "354"}


def known(*addresses: str) -> dict[str, Callable[[str], str]]:
    """What a server says at RCPT that knows these."""

    def answer(address: str) -> str:
        return "250 2.1.5 ok" if address in addresses else "550 5.1.1 who is that?"

    return {"RCPT": answer}
