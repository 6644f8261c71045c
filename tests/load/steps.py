"""The steps of a message of 4 KiB, each by itself in this process: median seconds.

The receiver's session over bytes in memory, the spool's calls as the stages make them, inspect()
with the embedded engine, and the forwarder's client over bytes in memory.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asking import Asked

from load import mails
from spoolscan import config
from spoolscan.envelope import Envelope, Recipient, ScanMark
from spoolscan.forwarder import attempt
from spoolscan.forwarder.delivery import Mail as ToSend
from spoolscan.forwarder.protocol import Client
from spoolscan.receiver.dotted import BareLF
from spoolscan.receiver.events import (
    DataEnds,
    DataStarts,
    Mail,
    NeedData,
    Rcpt,
    Terms,
)
from spoolscan.receiver.reply import GO_AHEAD, OK
from spoolscan.receiver.session import Session
from spoolscan.scanner.inspect import inspect
from spoolscan.scanner.toolbox import Toolbox
from spoolscan.spool import Spool
from spoolscan.watch import Watch


class Stopwatch:
    """Times by name."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.times.setdefault(name, []).append(time.perf_counter() - began)

    def medians(self) -> dict[str, float]:
        return {name: statistics.median(times) for name, times in self.times.items()}


def measure(folder: Path, rounds: int) -> dict[str, float]:
    """In the order in which a message goes through them."""
    root = folder / "steps"
    subprocess.run(
        [sys.executable, "-m", "spoolscan", "init", str(root), "--domain", "example.com"],
        check=True, capture_output=True,
    )  # fmt: skip
    settings = config.load(root)
    spool = Spool(root)
    watch = Stopwatch()
    texts = [mail.data for mail in mails.make("text4k", 50)]
    toolbox = Toolbox(settings)
    worker = Asked(settings)
    worker.prepare()
    session = Session(Terms("gate.example.com", "ready", 1 << 25, 100, 20, 100, 30, BareLF.REFUSE))
    _greet(session)
    client = _client()
    try:
        for number in range(rounds):
            data = texts[number % len(texts)]
            with watch.step("receive: the session"):
                _receive(session, data)
            _scan(spool, toolbox, worker, watch, data)
            _send(spool, client, watch)
            _ground(folder, watch, data)
    finally:
        worker.stop()
        toolbox.close()
    return watch.medians() | asyncio.run(_wake(folder, rounds))


def _greet(session: Session) -> None:
    session.greet()
    session.receive_data(b"EHLO load.example.net\r\n")
    while not isinstance(session.next_event(), NeedData):
        pass
    session.take_output()


def _receive(session: Session, data: bytes) -> None:
    session.receive_data(b"MAIL FROM:<a@example.net>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n")
    while True:
        match session.next_event():
            case NeedData():
                session.take_output()
                session.receive_data(data.replace(b"\r\n.", b"\r\n..") + b".\r\n")
            case Mail() | Rcpt():
                session.answer(OK)
            case DataStarts():
                session.answer(GO_AHEAD)
            case DataEnds():
                session.answer(OK)
                session.take_output()
                return


def _scan(spool: Spool, toolbox: Toolbox, worker: Asked, watch: Stopwatch, data: bytes) -> None:
    """From its commit until it is in outgoing/."""
    with watch.step("commit: draft, write, fsync, rename, fsync"):
        draft = spool.draft(Envelope("a@example.net", (Recipient("bob@example.com"),)))
        draft.write(data)
        draft.commit()
    with watch.step("claim: open, envelope, rename"):
        message = spool.claim(draft.id)
    with message:
        with watch.step("tools: what was edited"):
            tools = toolbox.tools()
        with watch.step("inspect: structure, names, triage, engine"):
            inspect(data, tools)
        with watch.step("ask a worker: all of that, there and back"), worker.ask(message):
            pass
        with watch.step("move: mark, rename"):
            message.mark_scan(ScanMark("clean"))
            message.move("outgoing")


def _send(spool: Spool, client: Client, watch: Stopwatch) -> None:
    """From there until it is removed."""
    (queue_id,) = spool.names("outgoing")
    with watch.step("forward: open, read"):
        work = attempt.take(spool, queue_id, 0.0)
        mail = attempt.mail(work, [0], b"")
    with watch.step("forward: the protocol"):
        _forward(client, mail)
    with watch.step("forward: mark"):
        work.message.write_marks([0], "SENT")
    with watch.step("remove"):
        work.message.remove()


def _client() -> Client:
    """One that has been greeted."""
    client = Client("gate.example.com", "sink.example")
    client.receive(b"220 sink.example\r\n")
    client.to_send()
    client.receive(b"250-sink.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
    return client


def _forward(client: Client, mail: ToSend) -> None:
    """A small one, whose content follows by itself."""
    client.begin(mail)
    client.to_send()
    client.receive(b"250 ok\r\n250 ok\r\n354 go on\r\n")
    client.to_send()
    client.receive(b"250 ok\r\n")
    assert client.outcomes()


async def _wake(folder: Path, rounds: int) -> dict[str, float]:
    """From a rename into a directory until its watcher goes on."""
    watch = Stopwatch()
    place, source = folder / "watched", folder / "new"
    place.mkdir()
    with Watch(str(place), "bench") as hints:
        for number in range(rounds):
            source.touch()
            with watch.step("wake: from a rename to its hint"):
                source.rename(place / str(number))
                await hints.wait()
            await asyncio.sleep(0)
    return watch.medians()


def _ground(folder: Path, watch: Stopwatch, data: bytes) -> None:
    """The least that this machine takes for it."""
    path = folder / "ground"
    with watch.step("at best: a new file, fsync, rename, fsync of its directory"):
        path.write_bytes(data)
        _sync(path)
        path.rename(f"{path}.new")
        _sync(folder)
    Path(f"{path}.new").unlink()
    with watch.step("at best: one pass over its bytes in memory"):
        bytes(bytearray(data))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
