"""``spoolscan jobs``: the timetable, or one job now (for cron and systemd timers)."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from spoolscan import config, stage
from spoolscan import log as events
from spoolscan.cli.place import find, spool_option
from spoolscan.cli.terminal import table
from spoolscan.spool import Spool


@click.group(invoke_without_command=True, short_help="Run what is done by the clock.")
@spool_option
@click.pass_context
def jobs(context: click.Context, spool: str | None) -> None:
    """Run the timetable of [jobs] until SIGTERM; or, with a command, one job."""
    root = find(context, spool)
    context.obj = str(root)
    if context.invoked_subcommand is None:
        from spoolscan.jobs.stage import Timed  # noqa: PLC0415 - one stage loads one stage

        stage.live("jobs", root, Timed())


@jobs.command("run")
@click.argument("name")
@spool_option
@click.pass_context
def run(context: click.Context, name: str, spool: str | None) -> None:
    """Run one job now, whatever its time; "spoolscan jobs list" names them."""
    from spoolscan.jobs import runner  # noqa: PLC0415 - as above
    from spoolscan.jobs.table import JOBS  # noqa: PLC0415

    if name not in JOBS:
        raise click.UsageError(f"no job of that name; there are: {', '.join(JOBS)}")
    root = find(context, spool)
    events.setup("jobs", "warning")
    settings = config.load(root)
    stage.check_owner(root)
    with stage.journaled(settings):
        click.echo(f"{name}: {runner.run(name, JOBS[name], settings, Spool(root))}")


@jobs.command("list")
@click.option("--json", "as_json", is_flag=True, help="A list of objects.")
@spool_option
@click.pass_context
def list_jobs(context: click.Context, spool: str | None, *, as_json: bool) -> None:
    """When each job runs, and how its last run ended."""
    from spoolscan.jobs import stamps  # noqa: PLC0415 - as above
    from spoolscan.jobs.table import JOBS  # noqa: PLC0415

    root = find(context, spool)
    times = config.load(root).jobs.times()
    now = datetime.now(UTC).timestamp()
    known = {name: stamps.read(Spool(root), name, now) for name in JOBS}
    if as_json:
        told = [
            {
                "id": name, "when": times[name], "done": stamp.done, "tried": stamp.tried,
                "failures": stamp.failures,
            }
            for name, stamp in known.items()
        ]  # fmt: skip
        click.echo(json.dumps(told, indent=1))
        return
    rows = [
        (name, times[name] or "never", _day(stamp.done), str(stamp.failures or ""))
        for name, stamp in known.items()
    ]
    table(("job", "when", "last done", "failures since"), rows)


def _day(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else "never"
