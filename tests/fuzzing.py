"""Fuzzing on every core: each process takes its share of the inputs, and crashers are kept."""

from __future__ import annotations

import copy
import hashlib
import multiprocessing
import os
import queue
import resource
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

_MEMORY = 2 << 30  # bytes a process may take: an input that needs more is a crasher


@dataclass(frozen=True, slots=True)
class Crash:
    """``place`` is what crashes of a target are told apart by: the exception and where it was
    raised.  ``story`` is all there is to see it again.
    """

    target: str
    place: str
    data: bytes
    story: str


class Tally(Protocol):
    """What came of the inputs so far."""

    inputs: int

    @property
    def crashes(self) -> Mapping[Any, Crash]: ...


# Tries so many inputs by a seed; says after every thousand, and at the end, what came of all.
Rounds = Callable[[int, int, Callable[[Any], None]], object]


def command(rounds: Rounds, told: Callable[[list[Any]], str]) -> click.Command:
    """Exits 0 when nothing crashed, 1 when something did or a process died.

    ``told`` makes of the tallies what else is to be said at the end.
    """

    @click.command()
    @click.option("--inputs", default=2_000_000, show_default=True, help="How many to try.")
    @click.option("--seed", type=int, default=None, help="Of the random numbers; told at the end.")
    @click.option(
        "--into", type=click.Path(path_type=Path), default=Path("crashers"), show_default=True
    )
    def main(inputs: int, seed: int | None, into: Path) -> None:
        """Try inputs on every core, and keep those that crash, hang or break something."""
        seed = secrets.randbelow(1 << 32) if seed is None else seed
        cores = len(os.sched_getaffinity(0))
        results: Queue[tuple[int, Tally]] = multiprocessing.Queue()
        shares = [inputs // cores + (number < inputs % cores) for number in range(cores)]
        workers = [
            multiprocessing.Process(
                target=_work, args=(rounds, share, seed + number, results), daemon=True
            )
            for number, share in enumerate(shares)
        ]
        started = time.monotonic()
        for worker in workers:
            worker.start()
        tallies, crashes = _watched(workers, results, inputs, into)
        seconds = time.monotonic() - started
        tried = sum(tally.inputs for tally in tallies)
        click.echo(f"seed {seed}: {tried} inputs in {seconds:.0f} s on {cores} cores,")
        click.echo(f"{tried / seconds:.0f} a second, {crashes} crashers; {told(tallies)}")
        dead = [worker.exitcode for worker in workers if worker.exitcode]
        for status in dead:
            click.echo(f"A PROCESS DIED with status {status}; the same seed and count show it")
        raise SystemExit(1 if crashes or dead else 0)

    return main


def _work(rounds: Rounds, count: int, seed: int, results: Queue[tuple[int, Tally]]) -> None:
    """One process: its share of the inputs, and word of every thousand."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    parent = os.getppid()

    def report(tally: Tally) -> None:
        if os.getppid() != parent:
            raise SystemExit  # it was killed, and nobody listens any more
        results.put((seed, copy.deepcopy(tally)))  # which is written while we go on

    rounds(count, seed, report)


def _watched(
    workers: list[multiprocessing.Process],
    results: Queue[tuple[int, Tally]],
    inputs: int,
    into: Path,
) -> tuple[list[Tally], int]:
    """Until all have ended: the last tally of each, and how many crashers were kept."""
    done: dict[int, Tally] = {}
    kept = set()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
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
            for place in done[who].crashes.keys() - kept:
                kept.add(place)
                _keep(done[who].crashes[place], into)
            tried = sum(tally.inputs for tally in done.values())
            progress.update(task, completed=tried, description=f"inputs, {len(kept)} crashers")
    return list(done.values()), len(kept)


def _keep(crash: Crash, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    path = into / f"{crash.target}-{hashlib.sha256(crash.data).hexdigest()[:12]}"
    path.write_bytes(crash.data)
    click.echo(f"{path}: {crash.place}\n{crash.story}")
