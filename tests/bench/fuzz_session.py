"""Fuzz the receiver's protocol: no uncaught exception, no state out of the table, no bad reply.

    python tests/bench/fuzz_session.py --inputs 2000000 --seed 1 --into crashers

Uses every core.  A crasher is written into a directory as session-DIGEST, its story printed: write
a test from it.  Exits 0 when there is none, 1 when there is one or a process died.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import queue
import secrets
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import sessionfuzz  # noqa: E402 - found only by the line above


def _work(count: int, seed: int, results: Queue[tuple[int, sessionfuzz.Tally]]) -> None:
    """One process: its share of the inputs, and word of every thousand."""
    parent = os.getppid()

    def report(tally: sessionfuzz.Tally) -> None:
        if os.getppid() != parent:
            raise SystemExit  # it was killed, and nobody listens any more
        results.put((seed, tally))

    sessionfuzz.rounds(count, seed, report)


@click.command()
@click.option("--inputs", default=2_000_000, show_default=True, help="How many to try.")
@click.option("--seed", type=int, default=None, help="Of the random numbers; told at the end.")
@click.option(
    "--into", type=click.Path(path_type=Path), default=Path("crashers"), show_default=True
)
def main(inputs: int, seed: int | None, into: Path) -> None:
    """Try conversations on every core, and keep those that break something."""
    console = Console(stderr=True)
    seed = secrets.randbelow(1 << 32) if seed is None else seed
    cores = len(os.sched_getaffinity(0))
    results: Queue[tuple[int, sessionfuzz.Tally]] = multiprocessing.Queue()
    shares = [inputs // cores + (number < inputs % cores) for number in range(cores)]
    workers = [
        multiprocessing.Process(target=_work, args=(share, seed + number, results), daemon=True)
        for number, share in enumerate(shares)
    ]
    for worker in workers:
        worker.start()
    done: dict[int, sessionfuzz.Tally] = {}
    crashes: dict[str, sessionfuzz.Crash] = {}
    started = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    # Without a terminal nobody watches: only the result is printed.
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("inputs", total=inputs)
        while any(worker.is_alive() for worker in workers) or not results.empty():
            try:
                who, done[who] = results.get(timeout=1)
            except queue.Empty:
                continue
            for place in done[who].crashes.keys() - crashes.keys():
                crashes[place] = done[who].crashes[place]
                _keep(crashes[place], into)
            tried = sum(tally.inputs for tally in done.values())
            progress.update(task, completed=tried, description=f"inputs, {len(crashes)} crashers")
    seconds = time.monotonic() - started
    tried = sum(tally.inputs for tally in done.values())
    states = sum((tally.states for tally in done.values()), Counter[str]())
    click.echo(f"seed {seed}: {tried} inputs in {seconds:.0f} s on {cores} cores,")
    click.echo(f"{tried / seconds:.0f} a second, {len(crashes)} crashers; ended in")
    click.echo(", ".join(f"{name} {count}" for name, count in states.most_common()))
    dead = [worker.exitcode for worker in workers if worker.exitcode]
    for status in dead:
        click.echo(f"A PROCESS DIED with status {status}; the same seed and count show it again")
    raise SystemExit(1 if crashes or dead else 0)


def _keep(crash: sessionfuzz.Crash, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    path = into / f"session-{hashlib.sha256(crash.data).hexdigest()[:12]}"
    path.write_bytes(crash.data)
    click.echo(f"{path}: {crash.place}\n{crash.story}")


if __name__ == "__main__":
    main()
