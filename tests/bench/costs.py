"""Where the time of a message goes: CPU, system calls and syncs of each stage, and of each step.

    python tests/bench/costs.py
    python tests/bench/costs.py --count 2000 --no-calls

First the real gateway under load (text of 4 KiB, ten sessions): CPU of each process, and, in
a second round under strace, its system calls.  Then the steps by themselves, one after the other in
this process (`load.steps`), and beside them what the machine could do at best: syncs of new files,
and one pass over the bytes in memory.

Not named profile.py: Python has a module of that name.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from load import processes, steps  # noqa: E402 - found only by the line above
from load.generator import Order  # noqa: E402 - as above
from load.runs import Sink, run  # noqa: E402 - as above
from load.systems import Ours  # noqa: E402 - as above

_SYNCS = ("fsync", "fdatasync", "syncfs", "sync_file_range")
_ROW = re.compile(r"(?m)^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$")
STAGES = ("smtpd", "scanmail", "worker", "smtpfwdd")


def _pids(system: Ours) -> dict[str, list[int]]:
    gateway = system.gateway
    stages = {stage: [gateway.process(stage)] for stage in STAGES if stage != "worker"}
    return {**stages, "worker": list(processes.tree(gateway.workers()))}  # both halves


def _cpu(system: Ours) -> dict[str, float]:
    return {stage: sum(map(processes.own_cpu, pids)) for stage, pids in _pids(system).items()}


@contextmanager
def _counting(system: Ours, folder: Path) -> Iterator[dict[str, Counter[str]]]:
    """The system calls of each stage meanwhile; filled in at the end."""
    counts: dict[str, Counter[str]] = {}
    tracers = {}
    for stage, pids in _pids(system).items():
        words = [word for pid in pids for word in ("-p", str(pid))]
        output = folder / f"{stage}.strace"
        tracers[stage] = subprocess.Popen(
            ["strace", "-f", "-c", "-o", str(output), *words], stderr=subprocess.DEVNULL
        )
    time.sleep(1)  # strace does not say when it has attached
    try:
        yield counts
    finally:
        for stage, tracer in tracers.items():
            tracer.send_signal(signal.SIGINT)
            tracer.wait()
            found = _ROW.findall((folder / f"{stage}.strace").read_text())
            counts[stage] = Counter({name: int(number) for number, name in found})
            counts[stage].pop("total", None)


def _stages(console: Console, folder: Path, count: int, *, calls: bool) -> None:
    counts: dict[str, Counter[str]] = {}
    with Sink() as sink, Ours(folder, sink.port) as system:
        order = Order(system.port, count=count)
        run(system, sink, Order(system.port, count=100))  # all that is made once is made
        before = _cpu(system)
        result = run(system, sink, order)
        used = {stage: seconds - before[stage] for stage, seconds in _cpu(system).items()}
        if calls:
            with _counting(system, folder) as counts:
                run(system, sink, order)
    table = Table(title=f"{count} messages, {result.rate:.0f}/s", box=None, title_justify="left")
    for title in ("stage", "CPU us", "calls", "syncs", "the most of them"):
        table.add_column(
            title, justify="left" if title in ("stage", "the most of them") else "right"
        )
    for stage in STAGES:
        found = counts.get(stage, Counter())
        table.add_row(
            stage,
            f"{used[stage] / count * 1e6:.0f}",
            f"{found.total() / count:.1f}",
            f"{sum(found[name] for name in _SYNCS) / count:.2f}",
            ", ".join(f"{name} {number / count:.1f}" for name, number in found.most_common(5)),
        )
    console.print(table)


def _steps(console: Console, folder: Path, rounds: int) -> None:
    table = Table(title="one message alone", box=None, title_justify="left")
    for title in ("step", "us"):
        table.add_column(title, justify="left" if title == "step" else "right")
    for name, seconds in steps.measure(folder, rounds).items():
        table.add_row(name, f"{seconds * 1e6:.0f}")
    console.print(table)


@click.command()
@click.option("--count", default=1000, show_default=True, help="Messages.")
@click.option("--rounds", default=300, show_default=True, help="Of each step.")
@click.option("--calls/--no-calls", default=True, help="Count system calls (strace).")
def main(count: int, rounds: int, *, calls: bool) -> None:
    """Measure stages, and steps."""
    if calls and shutil.which("strace") is None:
        raise SystemExit("no strace here: install it, or say --no-calls")
    console = Console()
    with tempfile.TemporaryDirectory(prefix="spoolscan-costs-") as folder:
        place = Path(folder)
        (place / "stages").mkdir()
        _stages(console, place / "stages", count, calls=calls)
        _steps(console, place, rounds)


if __name__ == "__main__":
    main()
