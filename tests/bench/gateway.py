"""The gateway under load, side by side with others: rate, latency, CPU and memory.

    python tests/bench/gateway.py
    python tests/bench/gateway.py --corpus mixed --count 500 --systems postfix+milter,spoolscan
    python tests/bench/gateway.py --rate 50 --rounds 1
    python tests/bench/gateway.py --quick

Spoolscan, spoolscan with clamd (which gets what is not surely harmless, or all), Postfix alone
(which looks at nothing), and Postfix with clamd by clamav-milter, all with the same sink behind
them, on the same disk, in turns.  The median round of each counts.  Accept latency is from MAIL to
the reply to the final dot, through from MAIL to the sink.  Each body is checked for being whole.
`load.mails` says what the two corpora are.

Needs root and Debian's postfix, clamav-daemon and clamav-milter for the others.  Exits 1 where a
message was lost, doubled or damaged.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from clamd_server import ClamdServer  # noqa: E402 - found only by the line above
from load import mails  # noqa: E402 - as above
from load.generator import Order  # noqa: E402 - as above
from load.runs import Result, Sink, median, run  # noqa: E402 - as above
from load.systems import SYSTEMS  # noqa: E402 - as above
from postfix_server import PostfixServer  # noqa: E402 - as above

_BAR = 24  # characters
_BASE = "postfix"  # whose rate is 1 (else that of the first)


def _absent(name: str) -> str | None:
    """Why it cannot be measured here."""
    if name.startswith("postfix") and (reason := PostfixServer.absent()):
        return reason
    if "+" in name and (reason := ClamdServer.absent()):
        return reason
    path = os.environ.get("PATH", "") + ":/usr/sbin"
    if "milter" in name and shutil.which("clamav-milter", path=path) is None:
        return "no clamav-milter here"
    return None


def _milliseconds(seconds: tuple[float, float, float]) -> str:
    return " ".join(f"{value * 1000:.{int(value < 0.01)}f}" for value in seconds)


def _show(console: Console, results: dict[str, Result]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("system")
    for title in ("msg/s", "ratio", "accept ms", "through ms", "CPU s/1000", "MiB"):
        table.add_column(title, justify="right")
    base = results.get(_BASE, next(iter(results.values()))).rate
    for name, result in results.items():
        table.add_row(
            name,
            f"{result.rate:.0f}",
            f"{result.rate / base:.2f}",
            _milliseconds(result.accept),
            _milliseconds(result.through),
            f"{result.cpu:.2f}",
            f"{result.memory / 2**20:.0f}",
        )
    console.print(table)
    most = max(result.rate for result in results.values())
    for name, result in results.items():
        console.print(f"{name:16} {'#' * round(_BAR * result.rate / most)} {result.rate:.0f}/s")


@click.command()
@click.option("--systems", default=",".join(SYSTEMS), show_default=True)
@click.option("--corpus", type=click.Choice(mails.CORPORA), default="text4k", show_default=True)
@click.option("--count", default=1000, show_default=True, help="Messages of a round.")
@click.option("--sessions", default=10, show_default=True)
@click.option("--rate", default=0.0, help="Messages offered a second; 0: all that can be.")
@click.option("--pipelining/--no-pipelining", default=True, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--quick", is_flag=True, help="One round of 100.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Where the queues lie.  [default: a temporary directory]",
)
def main(systems: str, rounds: int, quick: bool, folder: Path | None, **order: Any) -> None:
    """Measure them in turns, and print a table."""
    if quick:
        order["count"], rounds = 100, 1
    console = Console(stderr=True)
    names = systems.split(",")
    for name, reason in [(name, reason) for name in names if (reason := _absent(name))]:
        console.print(f"{name}: left out, {reason}")
        names.remove(name)
    measured: dict[str, list[Result]] = {name: [] for name in names}
    with ExitStack() as stack:
        place = tempfile.TemporaryDirectory(prefix="spoolscan-load-", dir=folder)
        root = Path(stack.enter_context(place))
        root.chmod(0o755)  # Postfix's own users walk through it
        sink = stack.enter_context(Sink())
        running = {
            name: stack.enter_context(SYSTEMS[name](root / name, sink.port)) for name in names
        }
        bar = Progress(console=console, disable=not console.is_terminal, transient=True)
        turns = [name for _ in range(rounds) for name in random.sample(names, len(names))]
        with bar:
            for name in bar.track(turns, description="rounds"):
                measured[name].append(run(running[name], sink, Order(running[name].port, **order)))
        wrong = [
            f"{name}: {words}"
            for name, results in measured.items()
            for result in results
            if (words := result.wrong(running[name].catches))
        ]
    _show(Console(), {name: median(results) for name, results in measured.items()})
    for words in wrong:
        click.echo(words)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
