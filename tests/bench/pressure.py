"""What hostile peers cost the receiver: time for the others, memory, and files left behind.

    python tests/bench/pressure.py
    python tests/bench/pressure.py slow flood

A real smtpd on a spool of its own, and peers from as many loopback addresses as the scene needs.
Memory is what the resident set of smtpd grew by at its highest, above what it was before the scene.
Prints figures, and asserts nothing.
"""

from __future__ import annotations

import asyncio
import resource
import smtplib
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from gateway import Gateway  # noqa: E402 - found only by the line above
from letters import letter  # noqa: E402 - as above

MEGA = 1 << 20
SLOW = 1000
HONEST = 300  # messages
Figures = list[tuple[str, str]]


class Place:
    """The receiver under test, and its memory."""

    def __init__(self, gateway: Gateway, pid: int) -> None:
        self.gateway = gateway
        self.port = gateway.port
        self._status = Path(f"/proc/{pid}/status")
        self._clear = Path(f"/proc/{pid}/clear_refs")

    def forget_peak(self) -> int:
        """Kilobytes resident now."""
        self._clear.write_text("5")
        return self._kilobytes("VmRSS")

    def peak(self) -> int:
        return self._kilobytes("VmHWM")

    def left(self) -> int:
        """Drafts in tmp/."""
        return len(self.gateway.messages("tmp"))

    async def open(self, number: int = 0) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection; each number has an address of its own."""
        source = f"127.{1 + (number >> 16)}.{number >> 8 & 255}.{1 + (number & 127)}"
        return await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))

    def _kilobytes(self, field: str) -> int:
        lines = self._status.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


async def begin(place: Place, number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """From the banner up to 354."""
    reader, writer = await place.open(number)
    writer.write(b"HELO slow.example\r\n" if await reader.readline() else b"")
    for line in (b"MAIL FROM:<a@example.net>", b"RCPT TO:<bob@example.com>", b"DATA"):
        await reader.readline()
        writer.write(line + b"\r\n")
    if not (await reader.readline()).startswith(b"354 "):
        writer.transport.abort()
        raise ConnectionError("no 354")
    return reader, writer


def honest(place: Place) -> list[float]:
    """Seconds of each message, a connection of its own for each."""
    seconds = []
    for _ in range(HONEST):
        began = time.monotonic()
        with smtplib.SMTP("127.0.0.1", place.port, timeout=60) as client:
            client.sendmail("alice@example.net", ["bob@example.com"], letter("honest"))
        seconds.append(time.monotonic() - began)
    return seconds


async def slow(place: Place) -> Figures:
    """Peers that send a byte a second in a message, and come again when they are sent away."""
    there = 0

    async def drip(number: int) -> None:
        nonlocal there
        while True:
            with suppress(OSError):
                _, writer = await begin(place, number)
                there += 1
                try:
                    while True:
                        writer.write(b"x")
                        await writer.drain()
                        await asyncio.sleep(1)
                finally:
                    there -= 1
                    writer.transport.abort()
            await asyncio.sleep(1)

    alone = await asyncio.to_thread(honest, place)
    crowd = [asyncio.create_task(drip(number)) for number in range(SLOW)]
    deadline = time.monotonic() + 30
    while there < SLOW * 0.95 and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    began = there
    among = await asyncio.to_thread(honest, place)
    ended = there
    for task in crowd:
        task.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)
    return [
        ("slow peers there when it began, and when it ended", f"{began}, {ended}"),
        ("an honest message alone, p50 / p99", _quantiles(alone)),
        ("an honest message among them, p50 / p99", _quantiles(among)),
    ]


def _quantiles(seconds: Sequence[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100)
    return f"{cuts[49] * 1000:.0f} ms / {cuts[98] * 1000:.0f} ms"


async def recipients(place: Place) -> Figures:
    """10,000 RCPT in one message, pipelined."""
    reader, writer = await place.open()
    await reader.readline()
    writer.write(b"EHLO a.example\r\n")
    while not (await reader.readline()).startswith(b"250 "):
        pass
    writer.write(b"MAIL FROM:<a@example.net>\r\n")
    await reader.readline()
    began = time.monotonic()

    async def say() -> None:
        for number in range(10_000):
            writer.write(b"RCPT TO:<u%d@example.com>\r\n" % number)
            await writer.drain()

    saying = asyncio.create_task(say())
    codes = [(await reader.readline())[:3] for _ in range(10_000)]
    seconds = time.monotonic() - began
    await saying
    writer.transport.abort()
    counts = ", ".join(f"{codes.count(code)} x {code.decode()}" for code in sorted(set(codes)))
    return [("answers", counts), ("each", f"{seconds / 10_000 * 1e6:.0f} us")]


async def endless_line(place: Place) -> Figures:
    """One command line of 1 GiB."""
    reader, writer = await place.open()
    sent, block = 0, b"x" * MEGA
    with suppress(OSError):
        while sent < 1 << 30:
            writer.write(block)
            await writer.drain()
            sent += len(block)
    told = b""
    with suppress(OSError):
        told = await reader.read()
    writer.transport.abort()
    reply = told.decode("ascii", "replace").split("\r\n")[1:2]
    return [("taken off the wire", f"{sent / MEGA:.0f} MiB"), ("answer", "".join(reply) or "reset")]


async def large_message(place: Place) -> Figures:
    """100 MiB in one message."""
    reader, writer = await begin(place, 0)
    began = time.monotonic()
    block = (b"x" * 76 + b"\r\n") * 800
    for _ in range(100 * MEGA // len(block)):
        writer.write(block)
        await writer.drain()
    writer.write(b".\r\n")
    reply = await reader.readline()
    seconds = time.monotonic() - began
    writer.transport.abort()
    return [("answer", reply.decode().strip()), ("speed", f"{100 / seconds:.0f} MiB/s")]


async def cut(place: Place) -> Figures:
    """1,000 connections that end in the middle of a message."""

    async def one(number: int) -> None:
        _, writer = await begin(place, number)
        writer.write(b"x" * (number * 97 % 100_000))
        await writer.drain()
        if number % 2:
            writer.transport.abort()
        else:
            writer.close()

    for first in range(0, 1000, 100):
        await asyncio.gather(*(one(number) for number in range(first, first + 100)))
    deadline = time.monotonic() + 30
    while place.left() and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    return [("files left in tmp/", str(place.left()))]


async def flood(place: Place) -> Figures:
    """20,000 connections as fast as they can be made, from 20,000 addresses."""
    answered, refused, failed = 0, 0, 0

    async def one(number: int) -> None:
        nonlocal answered, refused, failed
        try:
            reader, writer = await place.open(number)
            line = await reader.readline()
            answered += line.startswith(b"220 ")
            refused += line.startswith(b"421 ")
            writer.transport.abort()
        except OSError:
            failed += 1

    began = time.monotonic()
    for first in range(0, 20_000, 500):
        await asyncio.gather(*(one(number) for number in range(first, first + 500)))
    seconds = time.monotonic() - began
    after = await asyncio.to_thread(honest, place)
    return [
        ("220 / 421 / cut", f"{answered} / {refused} / {failed}"),
        ("connections a second", f"{20_000 / seconds:.0f}"),
        ("an honest message afterwards, p50 / p99", _quantiles(after)),
    ]


SCENES: dict[str, Callable[[Place], Awaitable[Figures]]] = {
    "slow": slow,
    "recipients": recipients,
    "endless-line": endless_line,
    "large-message": large_message,
    "cut": cut,
    "flood": flood,
}


@click.command()
@click.argument("scenes", nargs=-1, type=click.Choice(list(SCENES)))
def main(scenes: Sequence[str]) -> None:
    """Play the scenes, all of them if none is named."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    table = Table("scene", "what", "figure")
    with tempfile.TemporaryDirectory(prefix="spoolscan-pressure-") as folder:
        for name in scenes or SCENES:
            figures = _played(name, Path(folder) / name)
            for number, (what, figure) in enumerate(figures):
                table.add_row("" if number else name, what, figure)
    Console().print(table)


def _played(name: str, root: Path) -> Figures:
    with Gateway(root, f"maildir:{root}-maildir") as gateway:
        gateway.configure("receiver", connections=str(SLOW + 200), max_size='"200M"')
        gateway.configure(
            "receiver.limits",
            **{
                f"{what}_per_address": '"none"'
                for what in ("connections", "messages", "recipients")
            },
        )
        gateway.start_receiver()
        place = Place(gateway, gateway.pid)
        with smtplib.SMTP("127.0.0.1", place.port) as client:  # everything is loaded once
            client.sendmail("alice@example.net", ["bob@example.com"], letter("first"))
        before = place.forget_peak()
        figures = asyncio.run(SCENES[name](place))
        grown = place.peak() - before
        figures.append(("memory", f"{before / 1024:.0f} MiB, grew by {grown / 1024:.1f} MiB"))
    return figures


if __name__ == "__main__":
    main()
