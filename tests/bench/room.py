"""What the locked room costs: one mail with a zip of 100 KiB, judged by a worker with and without.

    python tests/bench/room.py

Three ways, taking turns in the same run, the least of the rounds of each: a process of one half,
as a worker was before there was a room; the two halves of a worker with the room off; and with it
locked.  Each is asked over a socket and hands out a Report; the zip holds what does not compress,
so all of it is unpacked, and scanned by the embedded engine with the rules as shipped.

Exits 1 where the room costs more than 15 % over a process of one half.
"""

from __future__ import annotations

import base64
import io
import os
import socket
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from asking import judge  # noqa: E402 - found only by the line above

from spoolscan import config, share  # noqa: E402 - as above
from spoolscan.scanner import room, wire  # noqa: E402 - as above
from spoolscan.scanner.broker import Broker  # noqa: E402 - as above
from spoolscan.scanner.inspect import Tools, inspect  # noqa: E402 - as above
from spoolscan.scanner.toolbox import Toolbox  # noqa: E402 - as above
from spoolscan.scanner.worker import scratch_size  # noqa: E402 - as above

_MOST = 1.15
_BATCH = 5  # mails between two looks at the clock

Ask = Callable[[int, int], object]
"""Have the mail behind a descriptor judged; its size in bytes."""


def _mail(size: int) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("figures.bin", os.urandom(size))
    head = b"Content-Type: application/zip; name=figures.zip\r\n"
    head += b"Content-Transfer-Encoding: base64\r\n\r\n"
    return head + base64.encodebytes(archive.getvalue()).replace(b"\n", b"\r\n")


def _serve_alone(peer: socket.socket, tools: Tools) -> None:
    while (frame := wire.receive(peer)) is not None:
        question, (mail,) = frame
        report = inspect(os.pread(mail, question["size"], 0), tools).report
        os.close(mail)
        wire.send(peer, {"report": report.as_dict()})


def _alone(tools: Tools) -> Ask:
    """A process of one half."""
    ours, theirs = socket.socketpair()
    if not os.fork():
        ours.close()
        _serve_alone(theirs, tools)
        os._exit(0)
    theirs.close()

    def ask(mail: int, size: int) -> object:
        wire.send(ours, {"size": size}, [mail])
        return wire.receive(ours)

    return ask


def _serve_in_halves(peer: socket.socket, tools: Tools, plan: room.Plan | None, size: int) -> None:
    broker = Broker(tools, {}, plan, size)
    if plan is not None:
        lacking = [measure.name for measure in broker.measures if not measure.in_force]
        click.echo(f"not in force here: {', '.join(lacking) or 'nothing'}", err=True)
    while (frame := wire.receive(peer)) is not None:
        question, (mail,) = frame
        wire.send(peer, judge(broker, mail, question["size"]))
        os.close(mail)
    broker.stop()


def _in_halves(tools: Tools, plan: room.Plan | None, size: int) -> Ask:
    """What a worker is, over its own socket."""
    ours, theirs = socket.socketpair()
    if not os.fork():
        ours.close()
        _serve_in_halves(theirs, tools, plan, size)
        os._exit(0)
    theirs.close()

    def ask(mail: int, size: int) -> object:
        wire.send(ours, {"size": size}, [mail])
        return wire.receive(ours)

    return ask


@click.command()
@click.option("--rounds", default=200, show_default=True, help="Of which the fastest counts.")
@click.option("--size", default=100 * 1024, show_default=True, help="Bytes in the zip.")
def main(rounds: int, size: int) -> None:
    """Compare a worker with the locked room and without."""
    settings = config.Config(root=share.folder("etc").parent)
    tools = Toolbox(settings).tools()
    room_for = scratch_size(settings)
    plan = room.Plan(settings.scanner.user, settings.scanner.memory, room_for)
    ways = {
        "one half": _alone(tools),
        "two halves, open": _in_halves(tools, None, room_for),
        "two halves, locked": _in_halves(tools, plan, room_for),
    }
    mail = _mail(size)
    best = dict.fromkeys(ways, float("inf"))
    console = Console(stderr=True)
    with tempfile.TemporaryFile() as file:
        file.write(mail)
        file.flush()
        for _ in track(
            range(rounds),
            "asking",
            console=console,
            disable=not console.is_terminal,
            transient=True,
        ):
            for name, ask in ways.items():
                started = time.perf_counter()
                for _ in range(_BATCH):
                    ask(file.fileno(), len(mail))
                best[name] = min(best[name], (time.perf_counter() - started) / _BATCH)
    for name, seconds in best.items():
        click.echo(f"{name:20}{seconds * 1e3:8.2f} ms for a zip of {size} bytes")
    ratio = best["two halves, locked"] / best["one half"]
    click.echo(f"locked to one half: {ratio:.3f}")
    raise SystemExit(1 if ratio > _MOST else 0)


if __name__ == "__main__":
    main()
