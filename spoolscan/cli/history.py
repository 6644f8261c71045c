"""``spoolscan log`` and ``spoolscan explain``: what the journal knows.

Times are the administrator's own (the local zone); ``--json`` gives seconds since the epoch.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import click

from spoolscan import journal
from spoolscan.cli.place import find, spool_option
from spoolscan.cli.terminal import plain, table
from spoolscan.durations import seconds
from spoolscan.errors import Corrupt
from spoolscan.journal import History, Row, Search

_LIMIT = 100


class _When(click.ParamType):  # type: ignore[type-arg] # generic only in the stubs of some releases
    """``2026-11-21``, ``2026-11-21T14:30``, or how long ago: ``2h``, ``7d``."""

    name = "when"

    def convert(
        self,
        value: str,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        try:
            return time.time() - seconds(value)
        except ValueError:
            pass
        try:
            return datetime.fromisoformat(value).astimezone().timestamp()
        except ValueError:
            self.fail("allowed: 2026-11-21, 2026-11-21T14:30, or how long ago: 2h, 7d", param, ctx)


@click.command(short_help="Search what happened: sender, recipient, id, date, verdict.")
@click.option("--sender", default="", metavar="WORD", help="Part of the reverse-path.")
@click.option("--recipient", default="", metavar="WORD", help="Part of a forward-path.")
@click.option("--id", "queue_id", default="", metavar="ID", help="Of one message.")
@click.option("--verdict", default="", help="clean, unscannable, banned or infected.")
@click.option("--event", default="", help="received, judged, forwarded, deferred ...")
@click.option("--since", type=_When(), help="2026-11-21, 2026-11-21T14:30, or 2h, 7d ago.")
@click.option("--until", type=_When(), help="As --since.")
@click.option("--limit", default=_LIMIT, show_default=True, help="The latest so many; -1 is all.")
@click.option("--json", "as_json", is_flag=True, help="A list of objects.")
@spool_option
@click.pass_context
def log(
    context: click.Context,
    spool: str | None,
    *,
    sender: str,
    recipient: str,
    queue_id: str,
    verdict: str,
    event: str,
    since: float | None,
    until: float | None,
    limit: int,
    as_json: bool,
) -> None:
    """Search what happened, the latest last."""
    search = Search(sender, recipient, queue_id, verdict, event, since, until)
    with History(find(context, spool) / journal.FILE) as history:
        rows = list(history.rows(search, limit))
    if as_json:
        click.echo(json.dumps([row.as_dict() for row in rows], indent=1))
        return
    table(("when", "id", "event", "what"), [_short(row) for row in rows])


def _short(row: Row) -> tuple[str, str, str, str]:
    when = datetime.fromtimestamp(row.at).astimezone().strftime("%m-%d %H:%M:%S")
    return when, row.id, row.event, _what(row)


def _what(row: Row) -> str:
    """The one thing to know of it."""
    if row.event == "received":
        return f"<{row.sender or ''}>"
    if row.event == "judged":
        return f"{row.verdict} {row.name}".strip()
    return row.name or " ".join(f"<{it}>" for it in row.recipients)


@click.command(short_help="Tell one message's whole story.")
@click.argument("queue_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="A list of objects, one an event.")
@spool_option
@click.pass_context
def explain(context: click.Context, queue_id: str, spool: str | None, *, as_json: bool) -> None:
    """Tell one message's whole story: its parts, who saw them, what was found, where it went."""
    with History(find(context, spool) / journal.FILE) as history:
        rows = list(history.rows(Search(id=queue_id)))
    if not rows:
        raise Corrupt(f"{plain(queue_id)}: not in the journal; `spoolscan log` lists what is")
    if as_json:
        click.echo(json.dumps([row.as_dict() for row in rows], indent=1))
        return
    for row in rows:
        for line in _story(row, rows[0].at):
            click.echo(line)


def _story(row: Row, began: float) -> Iterator[str]:
    when = datetime.fromtimestamp(row.at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    took = "" if row.seconds is None else f", in {row.seconds:.3f} s"
    yield f"{when}  +{row.at - began:.3f} s  {row.event} by the {row.stage}{took}"
    told = [("from", row.peer), ("sender", None if row.sender is None else f"<{row.sender}>")]
    told += [("recipient", f"<{it}>") for it in row.recipients]
    told += [("verdict", row.verdict), ("", row.name)]
    told += [("size", "" if row.size is None else f"{row.size} bytes")]
    yield from (f"    {word:10} {plain(value)}" for word, value in told if value)
    for key, value in (row.data or {}).items():
        yield from _detail(key, value)


def _detail(key: str, value: Any) -> Iterator[str]:
    """What else was said, a line each; of a list, one for every item."""
    if isinstance(value, list):
        for item in value:
            yield from _detail(key, item)
    elif isinstance(value, dict):
        shown = [f"{name} {_words(it)}" for name, it in value.items() if it not in (None, "")]
        yield f"    {plain(key):10} {plain(', '.join(shown))}"
    else:
        yield f"    {plain(key):10} {plain(_words(value))}"


def _words(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " > ".join(map(str, value))
    return f"{value:.3f}" if isinstance(value, float) else str(value)
