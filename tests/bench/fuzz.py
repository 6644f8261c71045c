"""Fuzz structure, names, decoders and unpackers: no uncaught exception, no hang.

    python tests/bench/fuzz.py --inputs 2000000 --seed 1 --into crashers

Uses every core.  A crasher is written into a directory as TARGET-DIGEST, its traceback printed;
move it to tests/corpus/crashers, where tests/test_fuzz.py tries it for ever, and mend what it
found.  Exits 0 when there is none, 1 when there is one or a process died.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import queue
import resource
import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import mutation  # noqa: E402 - found only by the line above

_MEMORY = 2 << 30  # bytes a process may take: an input that needs more is a crasher


def _work(
    count: int, seed: int, results: Queue[tuple[int, int, int, list[mutation.Crash]]]
) -> None:
    """One process: its share of the inputs, and word of every thousand."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    told: set[tuple[str, str]] = set()
    parent = os.getppid()

    def report(tally: mutation.Tally) -> None:
        crashes = [crash for key, crash in tally.crashes.items() if key not in told]
        told.update(tally.crashes)
        if os.getppid() != parent:
            raise SystemExit  # it was killed, and nobody listens any more
        results.put((seed, tally.inputs, tally.kept, crashes))

    mutation.rounds(count, seed, report)


@click.command()
@click.option("--inputs", default=2_000_000, show_default=True, help="How many to try.")
@click.option("--seed", type=int, default=None, help="Of the random numbers; told at the end.")
@click.option(
    "--into", type=click.Path(path_type=Path), default=Path("crashers"), show_default=True
)
def main(inputs: int, seed: int | None, into: Path) -> None:
    """Try mutated inputs on every core, and keep those that crash or hang."""
    console = Console(stderr=True)
    seed = secrets.randbelow(1 << 32) if seed is None else seed
    cores = len(os.sched_getaffinity(0))
    results: Queue[tuple[int, int, int, list[mutation.Crash]]] = multiprocessing.Queue()
    shares = [inputs // cores + (number < inputs % cores) for number in range(cores)]
    workers = [
        multiprocessing.Process(target=_work, args=(share, seed + number, results), daemon=True)
        for number, share in enumerate(shares)
    ]
    for worker in workers:
        worker.start()
    done: dict[int, tuple[int, int]] = {}
    crashes: dict[tuple[str, str], mutation.Crash] = {}
    started = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    # Without a terminal nobody watches: only the result is printed.
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("inputs", total=inputs)
        while any(worker.is_alive() for worker in workers) or not results.empty():
            try:
                who, tried, kept, found = results.get(timeout=1)
            except queue.Empty:
                continue
            done[who] = tried, kept
            for crash in found:
                if (crash.target, crash.place) not in crashes:
                    crashes[crash.target, crash.place] = crash
                    _keep(crash, into)
            total = sum(count for count, _ in done.values())
            progress.update(task, completed=total, description=f"inputs, {len(crashes)} crashers")
    total, kept = (sum(pair[at] for pair in done.values()) for at in (0, 1))
    seconds = time.monotonic() - started
    click.echo(f"seed {seed}: {total} inputs in {seconds:.0f} s on {cores} cores,")
    click.echo(f"{kept} that said something new, {len(crashes)} crashers")
    dead = [worker.exitcode for worker in workers if worker.exitcode]
    for status in dead:
        click.echo(f"A PROCESS DIED with status {status}; the same seed and count show it again")
    raise SystemExit(1 if crashes or dead else 0)


def _keep(crash: mutation.Crash, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    path = into / f"{crash.target}-{hashlib.sha256(crash.data).hexdigest()[:12]}"
    path.write_bytes(crash.data)
    click.echo(f"{path}: {crash.place}\n{crash.story}")


if __name__ == "__main__":
    main()
