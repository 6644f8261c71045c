"""Each system call under the spool failing in each way, at each of its places in a whole life.

    python tests/proof/faults.py
    python tests/proof/faults.py --life virus

In one process: a letter is received, judged, forwarded; one call of `spoolscan.disk` fails, once or
from there on; then the disk is well again, everything starts anew and finishes.  And a table of
what somebody else may do to the files meanwhile.  Exits 1 where the promise was broken.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest
from rich.console import Console
from rich.progress import track

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from disk_faults import CALLS  # noqa: E402 - found only by the line above

from proof import account  # noqa: E402
from proof.inline import World, memory  # noqa: E402
from proof.mail import KINDS, Letter, make  # noqa: E402
from spoolscan import disk  # noqa: E402
from spoolscan.errors import SpoolscanError  # noqa: E402

ERRORS = ("ENOSPC", "EDQUOT", "EIO", "EMFILE", "ENFILE", "EROFS", "EINTR", "EACCES")


@dataclass
class Tally:
    """``points``: (function, which call of it, error) that were made to fail."""

    points: int = 0
    refused: int = 0  # times the letter was not taken, and nobody was promised anything
    account: account.Account = field(default_factory=account.Account)


class Failing:
    """Counts calls of each function of `disk`; the ``nth`` one of ``name`` fails."""

    def __init__(self, name: str = "", nth: int = 0, number: int = 0, *, on: bool = False) -> None:
        self.counts: Counter[str] = Counter()
        self._name, self._nth, self._number, self._goes_on = name, nth, number, on

    @contextmanager
    def within(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name in CALLS:
                patch.setattr(disk, name, partial(self._call, name, getattr(disk, name)))
            yield

    def _call(self, name: str, real: Callable[..., Any], *arguments: Any) -> Any:
        self.counts[name] += 1
        now = self.counts[name]
        if name == self._name and (now == self._nth or (self._goes_on and now > self._nth)):
            if name == "close":  # Linux closes it all the same
                real(*arguments)
            if name == "write":  # a part of it is there
                real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            raise OSError(self._number, os.strerror(self._number))
        return real(*arguments)


def live(world: World, letter: Letter) -> bool:
    """A whole life; whether it was promised.  What a stage ends with is its own affair."""
    try:
        world.receive(letter)
    except SpoolscanError:
        promised = False
    else:
        promised = True
    for step in (world.scan, world.forward):
        with suppress(SpoolscanError):
            step()
    return promised


def points(world: World, letter: Letter, first: int) -> list[tuple[str, int]]:
    """The calls of its life, by function and number; the first so many of each function."""
    world.clear()
    counting = Failing()
    with counting.within():
        live(world, letter)
    return [
        (name, nth)
        for name, count in sorted(counting.counts.items())
        for nth in range(1, min(count, first) + 1)
    ]


def prove(
    world: World,
    letter: Letter,
    errors: Sequence[str] = ERRORS,
    first: int = 1000,
    tell: Callable[[Sequence[Any]], Sequence[Any]] = lambda items: items,
) -> Tally:
    """Within `World.living`."""
    tally = Tally()
    found = points(world, letter, first)
    for name, nth in tell(found):
        for error in errors:
            for on in (False, True):
                world.clear()
                failing = Failing(name, nth, getattr(errno, error), on=on)
                with failing.within():
                    promised = live(world, letter)
                tally.points += 1
                tally.refused += not promised
                after = settled(world, letter, promised=promised)
                if after.broken:
                    words = f"{name} {nth} {error}{' and on' if on else ''}: {after.details()}"
                    after.stuck.append(words)
                tally.account.add(after)
    return tally


def settled(world: World, letter: Letter, *, promised: bool) -> account.Account:
    """All is well again, and everything starts anew."""
    letters = {letter.name: letter}
    found = account.visible(world.spool, letters, letters)
    world.recover()
    found.add(
        account.settle(world.spool, letters, list(letters) if promised else [], world.delivered())
    )
    return found


@click.command()
@click.option("--life", "lives", multiple=True, type=click.Choice(KINDS), help="Only these.")
@click.option("--first", default=1000, show_default=True, help="So many calls of each function.")
def main(lives: Sequence[str], first: int) -> None:
    """Try them all and print the counts."""
    total = account.Account()
    with tempfile.TemporaryDirectory(prefix="spoolscan-proof-", dir=memory()) as folder:
        world = World(Path(folder) / "spool")
        with world.living():
            for number, kind in enumerate(lives or KINDS):
                bar = partial(track, description=kind, console=Console(stderr=True))
                tally = prove(world, make(kind, number), first=first, tell=bar)  # type: ignore[arg-type] # an iterable is enough
                click.echo(
                    f"{kind}: {tally.points} injections, {tally.refused} times not taken;"
                    f" {tally.account}"
                )
                total.add(tally.account)
    if total.broken:
        click.echo(total.details()[:5000])
    raise SystemExit(1 if total.broken else 0)


if __name__ == "__main__":
    main()
