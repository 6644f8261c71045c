"""Every state in which a power cut may leave the disk, at every call of a message's life.

    python tests/proof/enumerate.py
    python tests/proof/enumerate.py --most 50 --seed 7

A life is recorded once, from the receiver to the maildir; from the recording come the states
(`recording` has the model); on each of them all stages start again and finish.  Exits 1 where the
promise was broken.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import click
from rich.console import Console
from rich.progress import track

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from proof import account, recording  # noqa: E402 - found only by the line above
from proof.inline import World, memory  # noqa: E402
from proof.mail import KINDS, Letter, make  # noqa: E402

LIVES: dict[str, tuple[str, ...]] = {
    **{kind: (kind,) for kind in KINDS},
    "two at once": ("clean", "virus"),
}


@dataclass
class Tally:
    """Of one life."""

    calls: int = 0
    states: int = 0  # different ones
    sampled: int = 0  # points at which there were too many to try all
    account: account.Account = field(default_factory=account.Account)


def record(world: World, letters: Sequence[Letter]) -> list[recording.Op]:
    """The letters' whole life.  Notes: ``promised NAME`` and ``judged``."""
    world.clear()
    tape = recording.Recording(world.root)
    with tape.on():
        for letter in letters:
            world.receive(letter)
            tape.note(f"promised {letter.name}")
        # Whatever is moved out of scanning/ from here on was judged.
        tape.note("judged")
        world.scan()
        world.forward()
    return tape.ops


def prove(
    world: World,
    letters: Sequence[Letter],
    most: int,
    chance: Random,
    tell: Callable[[Sequence[int]], Sequence[int]] = lambda points: points,
) -> Tally:
    """Cut at each call, with so many states at each at the most.  Within `World.living`."""
    by_name = {letter.name: letter for letter in letters}
    ops = record(world, letters)
    whole = account.settle(world.spool, by_name, by_name, world.delivered())
    assert not whole.broken, f"without any cut: {whole.details()}"
    tally = Tally(calls=sum(op.kind != "note" for op in ops))
    tried: set[tuple[object, ...]] = set()
    for point in tell(range(len(ops) + 1)):
        before = ops[:point]
        notes = [op.path for op in before if op.kind == "note"]
        promised = [note.partition(" ")[2] for note in notes if note.startswith("promised ")]
        judged = list(by_name) if "judged" in notes else []
        tally.sampled += recording.count(before) > most
        for tree in recording.states(before, most, chance):
            key = (tuple(sorted(tree.items(), key=lambda item: item[0])), *notes)
            if key in tried:
                continue
            tried.add(key)
            world.clear()
            recording.lay_out(world.root, tree)
            found = _after(world, by_name, promised, judged)
            if found.broken:
                where = before[-1] if before else None
                found.lost[:] = [f"{name} (after {where})" for name in found.lost]
            tally.account.add(found)
    tally.states = len(tried)
    return tally


def _after(
    world: World, letters: dict[str, Letter], promised: list[str], judged: list[str]
) -> account.Account:
    """What there is to see, and what becomes of it."""
    found = account.visible(world.spool, letters, judged)
    world.recover()
    end = account.settle(world.spool, letters, promised, world.delivered())
    # One message in hand: one more copy of it at the most.
    end.altered += [f"{name}: {more} more" for name, more in end.duplicates.items() if more > 1]
    found.add(end)
    return found


def letters_of(life: str) -> list[Letter]:
    return [make(kind, number) for number, kind in enumerate(LIVES[life])]


@click.command()
@click.option("--most", default=300, show_default=True, help="States at one call; more by chance.")
@click.option("--seed", default=1, show_default=True, help="Of that chance.")
@click.option("--life", "lives", multiple=True, type=click.Choice(list(LIVES)), help="Only these.")
def main(most: int, seed: int, lives: Sequence[str]) -> None:
    """Try them all and print the counts."""
    total = account.Account()
    with tempfile.TemporaryDirectory(prefix="spoolscan-proof-", dir=memory()) as folder:
        world = World(Path(folder) / "spool")
        with world.living():
            for life in lives or LIVES:
                tally = prove(
                    world,
                    letters_of(life),
                    most,
                    Random(seed),  # noqa: S311 - the same each time
                    lambda points, life=life: track(points, life, console=Console(stderr=True)),  # type: ignore[misc,arg-type,return-value] # mypy knows no defaults of a lambda
                )
                click.echo(
                    f"{life}: {tally.calls} calls, {tally.states} states"
                    f" ({tally.sampled} calls sampled); {tally.account}"
                )
                total.add(tally.account)
    if total.broken:
        click.echo(total.details()[:5000])
    raise SystemExit(1 if total.broken else 0)


if __name__ == "__main__":
    main()
