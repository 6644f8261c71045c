"""``spoolscan status``: how the gateway is now."""

from __future__ import annotations

import json
import sys
import time
from typing import Final

import click

from spoolscan import config
from spoolscan.cli.place import find, spool_option
from spoolscan.cli.terminal import rich_table, table
from spoolscan.errors import SpoolscanError
from spoolscan.spool import Spool
from spoolscan.status.facts import Row, facts

_EVERY: Final = 2.0  # seconds
_HEAD: Final = ("", "what", "state")


@click.command(short_help="Stages, queues, engines, disk and jobs, now.")
@click.option("--watch", is_flag=True, help="Show it again and again, on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list, an object a row.")
@spool_option
@click.pass_context
def status(context: click.Context, spool: str | None, *, watch: bool, as_json: bool) -> int:
    """Show how stages, queues, engines, disk and jobs are now; nothing is changed.

    Exits 0 when all is well, 1 when something is not.
    """
    root = find(context, spool)
    settings = config.load(root)
    if watch:
        return _watch(settings, Spool(root))
    rows = [*facts(settings, Spool(root), time.time()), *_engines(settings)]
    if as_json:
        click.echo(json.dumps([row.as_dict() for row in rows], indent=1))
    else:
        table(_HEAD, _cells(rows))
    return 1 if any(row.trouble for row in rows) else 0


def _engines(settings: config.Config) -> list[Row]:
    """Each asked whether it is awake; `doctor` asks it about EICAR, too."""
    from spoolscan.scanner.toolbox import Toolbox  # noqa: PLC0415 - loads every engine

    rows = []
    try:
        toolbox = Toolbox(settings)
    except SpoolscanError as error:
        return [Row("engines", "cannot be used", str(error))]
    try:
        for engine in toolbox.engines:
            try:
                rows.append(Row(f"engine {engine.name}", engine.awake()))
            except SpoolscanError as error:
                rows.append(Row(f"engine {engine.name}", "does not answer", str(error)))
    finally:
        toolbox.close()
    return rows


def _cells(rows: list[Row]) -> list[tuple[str, str, str]]:
    return [("BAD" if row.trouble else "ok", row.id, row.trouble or row.words) for row in rows]


def _watch(settings: config.Config, spool: Spool) -> int:
    """Until Ctrl-C."""
    if not sys.stdout.isatty():
        raise click.UsageError("--watch needs a terminal")
    from rich.live import Live  # noqa: PLC0415 - slow to load, and only for a terminal

    with Live(auto_refresh=False, screen=True) as live:
        while True:
            rows = facts(settings, spool, time.time())
            live.update(rich_table(_HEAD, _cells(rows)), refresh=True)
            time.sleep(_EVERY)
