"""A queue of a hundred thousand: how long until it is listed, and until new mail passes it by.

    python tests/bench/full_queue.py
    python tests/bench/full_queue.py --messages 10000 --domains 1000

Fills outgoing/ of a temporary spool, then measures, each in a process of its own where it can be:

listing    all names of the directory with their times, as the forwarder lists them
queue      `spoolscan queue`, until its first line and until its last
deferred   a forwarder starts, all of them are to be tried later: until one new message is delivered
dead       the same, all of them are due and their next hops are down; then until all were looked at

Exits 1 where the first line takes more than 2 s, or the new message more than 10 s.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from builders import spool_in  # noqa: E402 - found only by the line above
from loopback import free_port  # noqa: E402 - as above
from smtp_peer import Peer  # noqa: E402 - as above

from spoolscan import config, share  # noqa: E402 - as above
from spoolscan.envelope import Envelope, Recipient, ScanMark  # noqa: E402 - as above
from spoolscan.forwarder.daemon import Forwarder  # noqa: E402 - as above
from spoolscan.notices import Templates  # noqa: E402 - as above
from spoolscan.spool import Spool  # noqa: E402 - as above

FIRST_LINE = 2.0  # seconds
NEW_MESSAGE = 10.0
BODY = b"Subject: hello\r\n\r\nGood day.\r\n" * 30
NEW = "new@live.test"


def _fill(spool: Spool, messages: int, domains: int) -> None:
    """Straight into the directory: how fast mail comes in is not measured here."""
    for number in range(messages):
        to = (Recipient(f"user{number}@d{number % domains}.test"),)
        queue_id = spool.ids.next()
        envelope = Envelope("alice@example.org", to, scan=ScanMark("clean"))
        path = Path(spool.path("outgoing", queue_id))
        path.write_bytes(envelope.encode(queue_id, len(BODY)) + BODY)


def _touch(spool: Spool, when: float) -> None:
    for entry in os.scandir(spool.path("outgoing")):
        os.utime(entry.path, (when, when))


def _listed(spool: Spool) -> float:
    began = time.perf_counter()
    spool.entries("outgoing")
    return time.perf_counter() - began


def _queue(spool: Spool) -> tuple[float, float]:
    command = [sys.executable, "-m", "spoolscan", "--spool", spool.root, "queue"]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()
        first = time.perf_counter() - began
        process.stdout.read()
    return first, time.perf_counter() - began


async def _start(spool: Spool, *, look_at_all: bool) -> tuple[float, float]:
    """Seconds until a message that was put there first and last is delivered, and all are seen."""
    async with Peer() as peer:
        table = Path(spool.path("etc", "routes"))
        table.parent.mkdir(exist_ok=True)
        dead = free_port()
        table.write_text(f"live.test smtp://127.0.0.1:{peer.port}\n* smtp://127.0.0.1:{dead}\n")
        settings = config.Config(root=Path(spool.root))
        templates = Templates([share.folder("etc") / "templates"])
        stop = asyncio.Event()
        began = time.perf_counter()
        forwarder = Forwarder(settings, spool, templates)
        task = asyncio.create_task(forwarder.run(stop))
        draft = spool.draft(Envelope("alice@example.org", (Recipient(NEW),)))
        draft.write(BODY)
        draft.commit(to="outgoing")
        while not peer.deliveries:
            await asyncio.sleep(0.01)
        delivered = time.perf_counter() - began
        while look_at_all and (forwarder.fresh or not forwarder.waiting):
            await asyncio.sleep(0.05)
        seen = time.perf_counter() - began
        stop.set()
        await task
        return delivered, seen


@click.command()
@click.option("--messages", default=100_000, show_default=True)
@click.option("--domains", default=1000, show_default=True, help="How many they are for.")
def main(messages: int, domains: int) -> None:
    """Measure a full queue."""
    with tempfile.TemporaryDirectory(prefix="spoolscan-queue-") as folder:
        spool = spool_in(Path(folder) / "spool")
        _fill(spool, messages, domains)
        click.echo(f"{messages} messages for {domains} domains")
        click.echo(f"listing    {_listed(spool):6.2f} s")
        first, last = _queue(spool)
        click.echo(f"queue      {first:6.2f} s to the first line, {last:.2f} s to the last")
        _touch(spool, time.time() + 3600)
        deferred, _ = asyncio.run(_start(spool, look_at_all=False))
        click.echo(f"deferred   {deferred:6.2f} s to a new message")
        _touch(spool, time.time())
        dead, seen = asyncio.run(_start(spool, look_at_all=True))
        click.echo(f"dead       {dead:6.2f} s to a new message, {seen:.2f} s to have seen all")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        click.echo(f"memory     {peak:6.0f} MB at most, this process with all of it")
    sys.exit(first > FIRST_LINE or max(deferred, dead) > NEW_MESSAGE)


if __name__ == "__main__":
    main()
