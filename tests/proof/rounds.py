"""A long proof in rounds, several at the same time.

A round is a gateway of its own, from its first start to its last message, in a process of its own,
and goes by its seed alone.  So what is printed after each is what has been proved until then: a run
that was broken off goes on with the next seed and the number that is left.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from typing import Any, NoReturn, TypeVar

import click

from proof import account

Row = TypeVar("Row")
JOBS = os.cpu_count() or 1
Story = Callable[[int, int], "Tally"]  # how many events, seed
Main = Callable[..., None]


def seeded(main: Main) -> Main:
    """A command with ``--seed`` and ``--jobs``."""
    seed = click.option("--seed", default=1, show_default=True, help="Of all that is chance.")
    jobs = click.option(
        "--jobs", default=JOBS, show_default=True, help="Gateways at the same time."
    )
    return seed(jobs(main))


def by_row(quick: str) -> Callable[[Main], Main]:
    """And with ``--row`` and ``--quick``, which means what is said of it (`chosen`)."""
    some = click.option("--quick", is_flag=True, help=quick)
    rows = click.option("--row", "names", multiple=True, help="Only these.")
    return lambda main: rows(some(seeded(main)))


def chosen(rows: Iterable[Any], names: Collection[str]) -> dict[str, Any]:
    """The rows of these names (their ``what``), or all.  Raises UsageError where there is none."""
    every = {row.what: row for row in rows}
    if unknown := set(names) - set(every):
        raise click.UsageError(f"no such row: {', '.join(sorted(unknown))}")
    return {what: row for what, row in every.items() if not names or what in names}


@dataclass
class Tally:
    """``events`` by what they were; ``promised``: letters that were acknowledged."""

    events: Counter[str] = field(default_factory=Counter)
    promised: int = 0
    delivered: int = 0
    account: account.Account = field(default_factory=account.Account)

    def add(self, other: Tally) -> None:
        self.events += other.events
        self.promised += other.promised
        self.delivered += other.delivered
        self.account.add(other.account)

    def __str__(self) -> str:
        return f"{self.promised} acknowledged, {self.delivered} delivered: {self.account}"


def side_by_side(story: Story, total: int, size: int, seed: int, jobs: int) -> Iterator[Tally]:
    """Of each round in turn, of ``size`` events at the most: ``seed`` and those that follow."""
    size = max(1, min(size, -(-total // jobs)))
    counts = [min(size, total - begun) for begun in range(0, total, size)]
    with _pool(jobs) as processes:
        yield from processes.map(partial(_ending, story), counts, range(seed, seed + len(counts)))


def prove(what: str, story: Story, total: int, size: int, *, seed: int, jobs: int) -> Tally:
    """All rounds, a line after each; says more where the promise was broken."""
    tally = Tally()
    for number, one in enumerate(side_by_side(story, total, size, seed, jobs), seed):
        tally.add(one)
        click.echo(f"{tally.events.total()} of {total} {what}, to seed {number}; {tally}")
        if one.account.broken:
            click.echo(f"  seed {number}: {one.account.details()}")
    return tally


def show(prove_one: Callable[[Row], Tally], rows: Mapping[str, Row], jobs: int) -> dict[str, Tally]:
    """Of rows by name, each a round of its own, a line after each."""
    tallies: dict[str, Tally] = {}
    with _pool(jobs) as processes:
        found = processes.map(partial(_ending, prove_one), rows.values())
        for (what, _), tally in zip(rows.items(), found, strict=True):
            tallies[what] = tally
            events = "".join(f"{count} {name}, " for name, count in sorted(tally.events.items()))
            click.echo(f"{what}: {events}{tally}")
            if tally.account.broken:
                click.echo(f"  {tally.account.details()}")
    return tallies


def end(tallies: Iterable[Tally]) -> NoReturn:
    """Exit 1 where the promise was broken, else 0."""
    raise SystemExit(1 if any(tally.account.broken for tally in tallies) else 0)


def _ending(story: Callable[..., Tally], *arguments: object) -> Tally:
    """What does not come to its end is stuck, and ends nothing else."""
    try:
        return story(*arguments)
    except TimeoutError as error:
        return Tally(account=account.Account(stuck=[str(error)]))


def _pool(jobs: int) -> ProcessPoolExecutor:
    """Forked: nothing else runs here yet."""
    return ProcessPoolExecutor(jobs, mp_context=get_context("fork"))
