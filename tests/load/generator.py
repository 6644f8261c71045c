"""The load: sessions that stay open and send one mail after the other, as fast as they are taken or
at a given rate.

    python -m load.generator < ORDER        (JSON in, JSON out; see `Order`, `Outcome`)

Three fields stand on top of each mail, for `load.sink`: a number, the time of MAIL, and a checksum
of all that follows.  The accept latency runs from MAIL to the reply to the final dot; at a rate,
from when the mail was due, so that waiting for a free session counts.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import zlib
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Final, cast

from load import mails

SENDER: Final = b"alice@example.net"
RECIPIENT: Final = b"bob@example.com"


@dataclass(frozen=True, slots=True)
class Order:
    """What to send where.  ``rate`` in messages a second; 0 is as fast as they are taken.

    ``first`` is the number of the first one: the sink knows mails by their numbers.
    """

    port: int
    corpus: str = "text4k"
    count: int = 1000
    first: int = 0
    distinct: int = 200  # mails, sent again and again
    sessions: int = 10
    rate: float = 0.0
    pipelining: bool = True
    source: str = "127.0.0.2"
    seconds: float = 600.0


@dataclass(slots=True)
class Outcome:
    """``first`` and ``last`` are of the monotonic clock; ``latencies`` in seconds.

    ``replies`` counts by kind of mail and code, as "text 250".
    """

    first: float = 0.0
    last: float = 0.0
    latencies: list[float] = field(default_factory=list)
    replies: dict[str, int] = field(default_factory=dict)
    refused: str = ""  # in whose words, the first


class _Ready:
    """A mail as it goes over the wire behind its number and time."""

    def __init__(self, mail: mails.Mail) -> None:
        self.kind = mail.kind
        stuffed = mail.data.replace(b"\r\n.", b"\r\n..")
        self.wire = b"X-Bench-Sum: %08x\r\n%b.\r\n" % (zlib.crc32(mail.data), stuffed)


class _Session(asyncio.Protocol):
    """One connection.  What is asked waits for its answer in `_asked`, in order."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""
        self._asked = deque(["banner"])
        self._pipelining = False
        self._refusal = b""
        self._item: tuple[int, float, float] | None = None  # number, due, begun
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.left(self, lost=self._item is not None)

    def data_received(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data).split(b"\r\n")
        for line in lines:
            if line[3:4] == b"-":
                self._pipelining |= line[4:] == b"PIPELINING" and self._load.order.pipelining
            elif self._asked:
                self._heard(self._asked.popleft(), line)
            else:
                self._load.fail(f"said unasked: {line!r}")

    def _say(self, data: bytes, *words: str) -> None:
        assert self._transport is not None
        self._asked.extend(words)
        self._transport.write(data)

    def send(self, number: int, due: float) -> None:
        """Begin a mail."""
        begun = time.monotonic()
        self._item = (number, due or begun, begun)
        self._refusal = b""
        mail, rcpt = b"MAIL FROM:<%b>\r\n" % SENDER, b"RCPT TO:<%b>\r\n" % RECIPIENT
        if self._pipelining:
            self._say(mail + rcpt + b"DATA\r\n", "mail+", "rcpt+", "data")
        else:
            self._say(mail, "mail")

    def quit(self) -> None:
        self._say(b"QUIT\r\n", "quit")

    def _heard(self, asked: str, line: bytes) -> None:
        if line[:1] not in b"23" and asked not in ("dot", "rset"):
            self._refusal = self._refusal or line
        match asked:
            case "banner":
                self._say(b"EHLO load.example.net\r\n", "ehlo")
            case "ehlo":
                self._load.idle(self)
            case "mail" if not self._refusal:
                self._say(b"RCPT TO:<%b>\r\n" % RECIPIENT, "rcpt")
            case "rcpt" if not self._refusal:
                self._say(b"DATA\r\n", "data")
            case "data" if line[:1] == b"3":
                self._write()
            case "mail" | "rcpt" | "data":
                self._say(b"RSET\r\n", "rset")
            case "rset":
                self._done(self._refusal)
            case "dot":
                self._done(self._refusal or line)
            case "quit":
                assert self._transport is not None
                self._transport.close()

    def _write(self) -> None:
        assert self._item is not None
        assert self._transport is not None
        if self._refusal:
            self._say(b".\r\n", "dot")
            return
        number, _, begun = self._item
        self._asked.append("dot")
        head = b"X-Bench-Id: %d\r\nX-Bench-Sent: %d\r\n" % (
            self._load.order.first + number,
            int(begun * 1e9),
        )
        self._transport.writelines([head, self._load.mail(number).wire])

    def _done(self, line: bytes) -> None:
        assert self._item is not None
        number, due, begun = self._item
        self._item = None
        self._load.answered(number, due, begun, line)
        self._load.idle(self)


class Load:
    """One order carried out."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.outcome = Outcome()
        made = mails.make(order.corpus, min(order.distinct, order.count))
        self._mails = [_Ready(mail) for mail in made]
        self._to_do: deque[tuple[int, float]] = deque()
        self._free: deque[_Session] = deque()
        self._there = 0
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def mail(self, number: int) -> _Ready:
        return self._mails[number % len(self._mails)]

    async def run(self) -> Outcome:
        """Raises RuntimeError where a connection breaks, TimeoutError where it takes too long."""
        order = self.order
        loop = asyncio.get_running_loop()
        pacer = asyncio.create_task(self._pace())
        async with asyncio.timeout(order.seconds):
            for _ in range(min(order.sessions, order.count)):
                await loop.create_connection(
                    lambda: _Session(self),
                    "127.0.0.1",
                    order.port,
                    local_addr=(order.source, 0),
                )
                self._there += 1
            await self._ended
            await pacer
        return self.outcome

    async def _pace(self) -> None:
        if not self.order.rate:
            self._to_do.extend((number, 0.0) for number in range(self.order.count))
            self._hand_out()
            return
        began = time.monotonic()
        for number in range(self.order.count):
            due = began + number / self.order.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self._to_do.append((number, due))
            self._hand_out()

    def _hand_out(self) -> None:
        while self._to_do and self._free:
            self._free.popleft().send(*self._to_do.popleft())

    def idle(self, session: _Session) -> None:
        """A session has nothing to do."""
        self._free.append(session)
        self._hand_out()
        if len(self.outcome.latencies) == self.order.count:
            while self._free:
                self._free.popleft().quit()

    def answered(self, number: int, due: float, begun: float, line: bytes) -> None:
        """All of a mail is sent, or it was refused."""
        outcome = self.outcome
        outcome.last = time.monotonic()
        outcome.first = min(outcome.first or begun, begun)
        outcome.latencies.append(outcome.last - due)
        what = f"{self.mail(number).kind} {line[:3].decode()}"
        outcome.replies[what] = outcome.replies.get(what, 0) + 1
        if not line.startswith(b"2"):
            outcome.refused = outcome.refused or line.decode("latin-1")

    def left(self, session: _Session, *, lost: bool) -> None:
        """A connection has ended."""
        self._there -= 1
        if lost or len(self.outcome.latencies) < self.order.count:
            self.fail("a connection was lost")
        elif not self._there and not self._ended.done():
            self._ended.set_result(None)

    def fail(self, why: str) -> None:
        if not self._ended.done():
            self._ended.set_exception(RuntimeError(why))


async def _main() -> None:
    outcome = await Load(Order(**json.load(sys.stdin))).run()
    json.dump(asdict(outcome), sys.stdout)


if __name__ == "__main__":
    asyncio.run(_main())
