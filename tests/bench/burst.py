"""A burst while the next hop is down, and what happens when it is up again.

    python tests/bench/burst.py
    python tests/bench/burst.py --count 2000 --rounds 4

First the rate with the next hop up, from the first MAIL to the last arrival.  Then nobody listens
there, and the burst is sent in rounds: what is accepted in each goes on into the queue.  At last
the next hop listens again, `spoolscan queue flush` is said, and the time runs until all have come.

Prints the rate of each round and that of the drain, each beside the rate at the beginning.  Exits
1 where a message was lost, doubled or damaged.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from load import processes  # noqa: E402 - found only by the line above
from load.generator import Order  # noqa: E402 - as above
from load.runs import Sink, generate, run  # noqa: E402 - as above
from load.systems import Ours  # noqa: E402 - as above

_STUCK = 60.0  # seconds in which one at least has to come


def _drain(system: Ours, sink: Sink, count: int) -> tuple[float, float]:
    """Seconds until the first has come, and from there until the last."""
    sink.ask("open")
    system.gateway.command("--spool", str(system.gateway.root), "queue", "flush")
    began = moved = time.monotonic()
    first, came = 0.0, 0
    while came < count:
        time.sleep(0.01)
        now, before, came = time.monotonic(), came, sink.ask("count")
        moved = now if came > before else moved
        first = first or (now if came else 0.0)
        if now - moved > _STUCK:
            raise SystemExit(f"stuck: {count - came} of {count} do not come")
    return first - began, time.monotonic() - first


@click.command()
@click.option("--count", default=20_000, show_default=True, help="Messages of the burst.")
@click.option("--rounds", default=10, show_default=True)
@click.option("--sessions", default=10, show_default=True)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Where the spool lies.  [default: a temporary directory]",
)
def main(count: int, rounds: int, sessions: int, folder: Path | None) -> None:
    """Send it, and see it go."""
    console = Console(stderr=True)
    size = max(1, count // rounds)
    bar = Progress(console=console, disable=not console.is_terminal, transient=True)
    with (
        tempfile.TemporaryDirectory(prefix="spoolscan-burst-", dir=folder) as place,
        Sink() as sink,
        Ours(Path(place), sink.port) as system,
        bar,
    ):
        usual = run(system, sink, Order(system.port, count=size, sessions=sessions)).rate
        click.echo(f"next hop up: {usual:.0f} a second, from sent to delivered")
        sink.ask("reset")
        sink.ask("close")
        with processes.Peak(system.roots()) as peak:
            for number in bar.track(range(rounds), description="burst"):
                order = Order(system.port, count=size, first=number * size, sessions=sessions)
                sent = generate(order)
                if sent["refused"]:
                    raise SystemExit(f"refused: {sent['refused']}")
                rate = size / (sent["last"] - sent["first"])
                queued = (number + 1) * size
                click.echo(f"{queued:6} queued: {rate:.0f} a second accepted ({rate / usual:.2f})")
            wait, seconds = _drain(system, sink, size * rounds)
        told = sink.ask("tell")
    rate = size * rounds / seconds
    click.echo(f"next hop up again: the first after {wait:.1f} s, all {size * rounds} in")
    click.echo(f"{seconds:.1f} s: {rate:.0f} a second ({rate / usual:.2f})")
    click.echo(f"memory at the most {peak.bytes / 2**20:.0f} MiB")
    wrong = {"damaged": told["damaged"], "doubled": told["again"]}
    for word, number in wrong.items():
        if number:
            click.echo(f"{number} {word}")
    sys.exit(1 if any(wrong.values()) else 0)


if __name__ == "__main__":
    main()
