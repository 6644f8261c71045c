"""``spoolscan selftest``: is EICAR found in every encoding and format, nested several deep?

As ``make check`` of AMaViS: real messages through all stages of a spool of their own.  Each must
end in quarantine as infected, and that in the innermost part.  What only a borrowed tool opens, and
the tool is not here, must be held; nothing may ever be delivered.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from subprocess import SubprocessError
from typing import Final

import click

from spoolscan.cli import disguises
from spoolscan.cli.terminal import table
from spoolscan.cli.trial import Outcome, Trial, trial
from spoolscan.scanner.bounds import Bounds
from spoolscan.scanner.unpack import capabilities

_DEPTHS: Final = (1, 2, 3)
_DEEPER: Final = (5, 10)
_FOUND, _HELD, _MISSED, _NOT_TRIED = "found", "held", "MISSED", "not tried"


@dataclass(slots=True)
class Row:
    """One encoding or format: the messages to be sent by depth, and what came of each."""

    title: str
    messages: dict[int, bytes] = field(default_factory=dict)
    opened: bool = True  # here, by ourselves or a tool; else it must be held
    is_format: bool = True  # so many containers, and it must be found in the innermost
    note: str = ""
    results: dict[int, str] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        wanted = {_FOUND} if self.opened else {_FOUND, _HELD}
        return set(self.results.values()) <= wanted

    def as_dict(self) -> dict[str, object]:
        return {"id": self.title, "good": self.is_good, "note": self.note, "depths": self.results}


@click.command(short_help="EICAR in everything we claim to read, through all stages.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list, an object a row.")
@click.option("--keep", is_flag=True, help="Leave the spool there to be looked at.")
def selftest(*, as_json: bool, keep: bool) -> int:
    """Send EICAR in every encoding and format, nested 1, 2, 3 and more deep, through all stages.

    A spool of its own is made for it, with the settings as they are shipped; none of yours is
    touched.  Exits 1 when one was not found.
    """
    rows = [*_encodings(), *_formats(), *_mixed()]
    with trial("selftest", keep=keep) as place, place.running():
        _send(place, rows)
        if keep:
            click.echo(f"The spool is {place.root}", err=True)
    if as_json:
        click.echo(json.dumps([row.as_dict() for row in rows]))
    else:
        _show(rows)
    return 0 if all(row.is_good for row in rows) else 1


def _encodings() -> Iterator[Row]:
    for title, build in disguises.ENCODINGS.items():
        message = build()
        messages = {depth: disguises.forwarded(message, depth - 1) for depth in _DEPTHS}
        yield Row(title, messages, is_format=False)


def _formats() -> Iterator[Row]:
    opened = dict(capabilities())
    for disguise in disguises.FORMATS:
        row = Row(disguise.title)
        if disguise.kind is not None and opened.get(disguise.kind) is None:
            row.opened, row.note = False, "nothing here opens it"
        try:
            for depth in _DEPTHS if disguise.is_there else ():
                row.messages[depth] = disguises.attached(disguises.nested((disguise,), depth))
        except (OSError, SubprocessError) as error:
            row.messages, row.note = {}, f"{disguise.packer} failed: {error}"
        if not disguise.is_there:
            row.note = f"no packer: {disguise.packer}"
        yield row


def _mixed() -> Iterator[Row]:
    """All that we make and open ourselves, one in the other; to the bound, and beyond it."""
    ours = tuple(it for it in disguises.FORMATS if it.packer is None and it.kind is None)
    deepest = Bounds().depth - 1  # each is opened one deeper than it lies
    row = Row("all of them, mixed")
    for depth in (*_DEPTHS, *_DEEPER, deepest):
        row.messages[depth] = disguises.attached(disguises.nested(ours, depth))
    yield row
    beyond = disguises.attached(disguises.nested(ours, deepest + 5))
    yield Row("deeper than is read", {deepest + 5: beyond}, opened=False, note="must be held")


def _send(place: Trial, rows: list[Row]) -> None:
    """All of them, then wait for each; the bar is for a terminal only."""
    todo = [(row, depth) for row in rows for depth in row.messages]
    label = f"{len(todo)} messages"
    on_terminal = sys.stderr.isatty()
    bar = click.progressbar(length=len(todo), label=label, file=sys.stderr)
    with bar if on_terminal else nullcontext():
        sent = [(row, depth, place.send(row.messages[depth])) for row, depth in todo]
        for row, depth, queue_id in sent:
            least = depth if row.is_format else 0
            row.results[depth] = _result(place.follow(queue_id), least)
            if on_terminal:
                bar.update(1)


def _result(outcome: Outcome, least: int) -> str:
    """Found is what is found where it lies: in the clear it shows in what is around it, too.

    An archive stored in another one is seen in both, and looked into once.
    """
    if outcome.fate == "quarantine" and any(
        found.words.startswith("infected: ")
        and (found.depth >= least or found.part == disguises.NAME)
        for found in outcome.found
    ):
        return _FOUND
    return _HELD if outcome.fate in {"hold", "quarantine"} else _MISSED


def _show(rows: list[Row]) -> None:
    deeper = sorted({depth for row in rows for depth in row.results} - set(_DEPTHS))
    cells = []
    for row in rows:
        words = [row.results.get(depth, "" if row.messages else _NOT_TRIED) for depth in _DEPTHS]
        more = [f"{depth}: {row.results[depth]}" for depth in deeper if depth in row.results]
        cells.append((row.title, *words, ", ".join([*more, *([row.note] if row.note else [])])))
    table(("EICAR in", "1 deep", "2 deep", "3 deep", ""), cells)
    results = [result for row in rows for result in row.results.values()]
    skipped = sum(not row.messages for row in rows)
    counts = ", ".join(f"{results.count(word)} {word}" for word in (_FOUND, _HELD, _MISSED))
    click.echo(f"\n{len(results)} messages: {counts}; {skipped} formats not tried.")
