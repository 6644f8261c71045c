"""Workers and rooms, asked one question after the other."""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import Coroutine
from typing import Any, TypeVar

from spoolscan.config import Config
from spoolscan.scanner import wire
from spoolscan.scanner.answer import Answer
from spoolscan.scanner.broker import Broker
from spoolscan.scanner.hand import Worker
from spoolscan.scanner.nursery import Nursery
from spoolscan.spool import Message

T = TypeVar("T")


class Asked:
    """A worker, with an event loop of its own, of a nursery of its own or another; `stop` it."""

    def __init__(self, config: Config, nursery: Nursery | None = None) -> None:
        self._own = Nursery()
        self.worker = Worker(config, nursery or self._own)
        self._loop = asyncio.Runner()
        self._loop.get_loop()  # which opens what it needs

    @property
    def pid(self) -> int:
        assert self.worker._process is not None
        return self.worker._process.pid

    def prepare(self) -> None:
        self._run(self.worker.prepare())

    def ask(self, message: Message, out: frozenset[str] = frozenset()) -> Answer:
        return self._run(self.worker.ask(message, out))

    def end(self) -> None:
        """The process; the next question starts another."""

        async def stop() -> None:
            self.worker.stop()

        self._run(stop())

    def stop(self) -> None:
        self.end()
        self._own.stop()
        self._loop.close()

    def _run(self, what: Coroutine[Any, Any, T]) -> T:
        return self._loop.run(what)


def judge(broker: Broker, message: int, size: int, offset: int = 0) -> dict[str, Any]:
    """What the locked half says of bytes of a file.  Raises Broken, OSError."""
    wire.send(broker.questions, {"offset": offset, "size": size}, [message])
    both: list[socket.socket | Broker] = [broker.questions, broker]
    while True:
        waiting, _, _ = select.select(both, [], [])
        if broker in waiting:
            broker.serve()
        else:
            frame = wire.receive(broker.questions)
            if frame is None:
                broker.serve()
                raise wire.Broken("it ended")
            for descriptor in frame[1]:
                os.close(descriptor)
            return frame[0]
