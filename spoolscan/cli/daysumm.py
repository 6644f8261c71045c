"""``spoolscan daysumm``: the summary of any day or period, sent or printed."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from spoolscan import config, stage
from spoolscan import log as events
from spoolscan.cli.place import find, spool_option
from spoolscan.errors import SpoolscanError
from spoolscan.spool import Spool

_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"])


@click.command(short_help="Send the summary of a day, or print it.")
@click.option("--date", metavar="YYYY-MM-DD", help="That day.")
@click.option("--since", type=_MOMENT, help="From then on.")
@click.option("--until", type=_MOMENT, help="Up to then [now].")
@click.option("--print", "shown", is_flag=True, help="Print the text; send nothing.")
@click.option("--save", type=click.Path(path_type=Path), help="Write the mail to a file instead.")
@spool_option
@click.pass_context
def daysumm(
    context: click.Context,
    spool: str | None,
    *,
    date: str | None,
    since: datetime | None,
    until: datetime | None,
    shown: bool,
    save: Path | None,
) -> None:
    """Send the summary since the last one; of a period that is named, and the last 24 h to look at.

    Without options it is what the timetable does: nothing is told twice.
    """
    from spoolscan.jobs import runner  # noqa: PLC0415 - slow to load
    from spoolscan.jobs.summary import report  # noqa: PLC0415 - slow to load
    from spoolscan.jobs.summary.tally import Period, midnight  # noqa: PLC0415 - slow to load

    root = find(context, spool)
    events.setup("jobs", "warning")
    settings = config.load(root)
    stage.check_owner(root)
    named = date or since or until
    if not (named or shown or save):
        with stage.journaled(settings):
            click.echo(runner.run("summary", report.run, settings, Spool(root)))
        return
    period = report.last_day()
    if date:
        try:
            period = report.parse_day(date)
        except ValueError as error:
            raise click.UsageError(f"--date {date}: allowed: YYYY-MM-DD") from error
    elif since or until:
        end = until.astimezone() if until else period.end
        period = Period(since.astimezone() if since else midnight(end), end)
    if period.begin >= period.end:
        raise click.UsageError("the period ends before it begins")
    if not (shown or save):
        click.echo(report.send(settings, Spool(root), period))
        return
    message = report.build(settings, Spool(root), period)
    if save:
        try:
            save.write_bytes(message.as_bytes())
        except OSError as error:
            raise SpoolscanError(f"{save}: {error.strerror}") from error
    if shown:
        body = message.get_body(("plain",))
        click.echo("" if body is None else body.get_content())
