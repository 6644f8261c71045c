"""The mail server behind the gateway: says yes to all, looks whether it is whole, and counts.

    python -m load.sink                  (first line out: its port; then an answer to each line in)

``reset`` forgets, ``count`` says how many have come, ``tell`` gives an `Account`; after ``close``
nobody listens on its port, until ``open``.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
import zlib
from dataclasses import asdict, dataclass, field
from typing import Final, cast

_HEAD: Final = 65_536  # bytes in which the fields of the load are looked for
_MARKS: Final = re.compile(
    rb"^X-Bench-Id: (\d+)\r\nX-Bench-Sent: (\d+)\r\nX-Bench-Sum: ([0-9a-f]{8})\r\n", re.MULTILINE
)
_REPLIES: Final = {
    b"EHLO": b"250-sink.example\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250 8BITMIME\r\n",
    b"DATA": b"354 go on\r\n",
    b"QUIT": b"221 2.0.0 bye\r\n",
}


@dataclass(slots=True)
class Account:
    """``latencies`` are seconds from MAIL until here; ``last`` is of the monotonic clock."""

    came: int = 0  # of the load's, each number once
    again: int = 0
    damaged: int = 0
    others: int = 0  # notices
    last: float = 0.0
    latencies: list[float] = field(default_factory=list)
    numbers: set[int] = field(default_factory=set)

    def enter(self, content: bytes) -> None:
        """A message, dots unstuffed."""
        found = _MARKS.search(content, 0, _HEAD)
        if found is None:
            self.others += 1
            return
        self.last = time.monotonic()
        number = int(found[1])
        if number in self.numbers:
            self.again += 1
            return
        self.numbers.add(number)
        self.came += 1
        self.latencies.append(self.last - int(found[2]) / 1e9)
        self.damaged += zlib.crc32(memoryview(content)[found.end() :]) != int(found[3], 16)


class _Session(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer = bytearray()
        self._in_data = False
        self._searched = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._sink.open.add(self._transport)
        self._transport.write(b"220 sink.example ESMTP\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        assert self._transport is not None
        self._sink.open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._message() if self._in_data else self._command():
            pass

    def _command(self) -> bool:
        line, ended, _ = self._buffer.partition(b"\r\n")
        if not ended:
            return False
        del self._buffer[: len(line) + 2]
        verb = bytes(line[:4]).upper()
        assert self._transport is not None
        self._transport.write(_REPLIES.get(verb, b"250 2.0.0 ok\r\n"))
        if verb == b"QUIT":
            self._transport.close()
        self._in_data = verb == b"DATA"
        self._searched = 0
        return True

    def _message(self) -> bool:
        end = self._buffer.find(b"\r\n.\r\n", max(self._searched - 4, 0))
        if end < 0:
            self._searched = len(self._buffer)
            return False
        self._sink.account.enter(bytes(self._buffer[: end + 2]).replace(b"\r\n..", b"\r\n."))
        del self._buffer[: end + 5]
        self._in_data = False
        assert self._transport is not None
        self._transport.write(b"250 2.0.0 ok\r\n")
        return True


class Sink:
    """Listens on a port of 127.0.0.1 that the kernel chooses."""

    def __init__(self) -> None:
        self.account = Account()
        self.open: set[asyncio.Transport] = set()
        self._server: asyncio.Server | None = None

    async def serve(self) -> None:
        """Until standard input ends."""
        loop = asyncio.get_running_loop()
        port = await self._listen(0)
        orders = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
        _say(port)
        while order := (await orders.readline()).strip():
            if order == b"reset":
                self.account = Account()
            elif order == b"close":
                self._close()
            elif order == b"open":
                await self._listen(port)
            _say(self.account.came if order == b"count" else _told(self.account))
        self._close()

    async def _listen(self, port: int) -> int:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Session(self), "127.0.0.1", port, backlog=1000
        )
        return int(self._server.sockets[0].getsockname()[1])

    def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for transport in self.open:
            transport.abort()


def _told(account: Account) -> dict[str, object]:
    return {**asdict(account), "numbers": []}


def _say(value: object) -> None:
    print(json.dumps(value), flush=True)  # noqa: T201 - its one way to answer


if __name__ == "__main__":
    asyncio.run(Sink().serve())
