"""What somebody else may do to the spool, or to the clock, while a letter is on its way.

Each row is done to a world in which one letter waits in incoming/ (``before`` it is judged) or in
outgoing/ (after that); it may leave things there.  Whatever it is, another letter must arrive as if
nothing were, and nothing of what is not whole, not plain or not ours may be delivered.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import time_machine

from proof import account
from proof.inline import World
from proof.mail import Letter, make
from spoolscan.queueid import QueueIds

_RESTS = ("hold", "incoming", "outgoing", "scanning")
_TEN_YEARS = 10 * 365 * 86_400.0


@dataclass(frozen=True)
class Row:
    """``lost``: the letter itself is what was destroyed, and nobody can bring it back."""

    what: str
    do: Callable[[World, Path], None]
    before: bool = True
    lost: bool = False
    clock: float = 0.0  # seconds by which it jumps after that


def _nothing(_: World, __: Path) -> None:
    """Only the clock."""


def _truncate(_: World, path: Path) -> None:
    os.truncate(path, path.stat().st_size - 100)


def _cut_envelope(_: World, path: Path) -> None:
    os.truncate(path, 60)


def _append(_: World, path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _another(path: Path) -> Path:
    return path.with_name(QueueIds().next())


def _outside(world: World, path: Path) -> Path:
    """A file that is none of the spool's business, and would be a message."""
    place = world.root / "etc" / "outside"
    place.write_bytes(path.read_bytes())
    return place


def _symlink(world: World, path: Path) -> None:
    _another(path).symlink_to(_outside(world, path))


def _hard_link(world: World, path: Path) -> None:
    os.link(_outside(world, path), _another(path))


def _fifo(_: World, path: Path) -> None:
    os.mkfifo(_another(path))


def _folder(_: World, path: Path) -> None:
    _another(path).mkdir()


def _half_a_copy(_: World, path: Path) -> None:
    data = path.read_bytes()
    copy = _another(path)
    copy.write_bytes(data.replace(path.name.encode(), copy.name.encode())[:-200])


def _copy_in_the_way(world: World, path: Path) -> None:
    """Of the same name, where the letter is to go."""
    (world.root / "scanning" / path.name).write_bytes(path.read_bytes()[:50])


def _zeros(_: World, path: Path) -> None:
    _another(path).write_bytes(bytes(5000))


ROWS = (
    Row("cut short", _truncate, lost=True),
    Row("cut short when judged", _truncate, before=False, lost=True),
    Row("cut in its envelope", _cut_envelope, lost=True),
    Row("something appended", _append, lost=True),
    Row("something appended when judged", _append, before=False, lost=True),
    Row("a symlink beside it", _symlink),
    Row("a symlink in outgoing/", _symlink, before=False),
    Row("a hard link beside it", _hard_link),
    Row("a hard link in outgoing/", _hard_link, before=False),
    Row("a fifo beside it", _fifo),
    Row("a fifo in outgoing/", _fifo, before=False),
    Row("a directory under a queue id", _folder),
    Row("a directory in outgoing/", _folder, before=False),
    Row("half a copy", _half_a_copy),
    Row("half a copy in outgoing/", _half_a_copy, before=False),
    Row("zeros", _zeros),
    Row("zeros in outgoing/", _zeros, before=False),
    Row("a copy in its way", _copy_in_the_way),
    Row("the clock ten years on", _nothing, clock=_TEN_YEARS),
    Row("the clock ten years back", _nothing, clock=-_TEN_YEARS),
    Row("the clock on when judged", _nothing, before=False, clock=_TEN_YEARS),
    Row("the clock back when judged", _nothing, before=False, clock=-_TEN_YEARS),
)


def prove(world: World, row: Row) -> account.Account:
    """Within `World.living`."""
    world.clear()
    victim, other = make("clean", 1), make("clean", 2)
    letters: dict[str, Letter] = {one.name: one for one in (victim, other)}
    queue_id = world.receive(victim)
    if not row.before:
        world.scan()
    state = "incoming" if row.before else "outgoing"
    row.do(world, Path(world.spool.path(state, queue_id)))
    outside = world.root / "etc" / "outside"
    kept = outside.read_bytes() if outside.exists() else b""
    world.receive(other)
    with time_machine.travel(time.time() + row.clock, tick=True):
        world.recover()
    promised = [other.name] if row.lost else list(letters)
    found = account.settle(world.spool, letters, promised, world.delivered())
    if kept and outside.read_bytes() != kept:
        found.altered.append("a file outside of the spool")
    outside.unlink(missing_ok=True)
    # What lies in hold/ or waits as it was put there is what is asked for, not a torn message.
    found.torn = [one for one in found.torn if one.partition("/")[0] not in _RESTS]
    found.altered += [f"{name} twice" for name in found.duplicates]
    return found
