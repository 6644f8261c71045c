"""``spoolscan doctor``: everything that mail needs, and a remedy for what is missing."""

from __future__ import annotations

import json
import textwrap
from typing import Final

import click

from spoolscan.cli.place import find, spool_option
from spoolscan.doctor import FAIL, Row, examine
from spoolscan.log import safe

_COLUMN: Final = 22  # where the words begin; a line ends at 80
_LONGEST: Final = 1000  # characters of a row's words


@click.command(short_help="Look at everything mail needs; say what to do.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list, an object a row.")
@spool_option
@click.pass_context
def doctor(context: click.Context, spool: str | None, *, as_json: bool) -> int:
    """Look at everything that mail needs, and say what to do about what is missing.

    Changes nothing.  Exits 1 when something fails; warnings are no failures.
    """
    rows = []
    for row in examine(find(context, spool)):
        rows.append(row)
        if not as_json:
            _show(row)
    if as_json:
        click.echo(json.dumps([row.as_dict() for row in rows]))
    return 1 if any(row.state == FAIL for row in rows) else 0


def _show(row: Row) -> None:
    words = textwrap.wrap(safe(row.found, _LONGEST), 80 - _COLUMN) or [""]
    remedy = textwrap.wrap(
        safe(row.remedy, _LONGEST), 80 - _COLUMN, initial_indent="-> ", subsequent_indent="   "
    )
    click.echo(f"{row.state:<5} {safe(row.id):<{_COLUMN - 7}} {words[0]}")
    for line in (*words[1:], *remedy):
        click.echo(" " * _COLUMN + line)
