"""``spoolscan sigupdate``: new signatures now, which there are, and the ones before."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from spoolscan import config, stage
from spoolscan import log as events
from spoolscan.cli.place import find, spool_option
from spoolscan.cli.terminal import plain, table
from spoolscan.spool import Spool


@click.group(invoke_without_command=True, short_help="Fetch, prove and try new signatures.")
@spool_option
@click.pass_context
def sigupdate(context: click.Context, spool: str | None) -> None:
    """Ask all sources of signatures now, as the job does; exits 0 whatever they say."""
    root = find(context, spool)
    context.obj = str(root)
    if context.invoked_subcommand is None:
        from spoolscan.jobs import runner, signatures  # noqa: PLC0415 - slow to load

        events.setup("jobs", "error")
        settings = config.load(root)
        stage.check_owner(root)
        with stage.journaled(settings):
            said = runner.run("signatures", signatures.run, settings, Spool(root))
        for line in said.split("; "):
            click.echo(plain(line))


@sigupdate.command("list")
@click.option("--json", "as_json", is_flag=True, help="A list of objects.")
@spool_option
@click.pass_context
def list_sources(context: click.Context, spool: str | None, *, as_json: bool) -> None:
    """What is known of each source; nobody is asked."""
    from spoolscan.signatures import known, update  # noqa: PLC0415 - slow to load

    root = find(context, spool)
    settings, place = config.load(root), Spool(root)
    ages = update.ages(settings, place, datetime.now(UTC).timestamp())
    found = known.read(place)
    if as_json:
        told = [
            {"id": name, "age": age, "serial": one.serial, "changed": one.changed,
             "checked": one.checked, "trouble": one.trouble}
            for name, age in ages
            for one in [found.get(name, known.Known())]
        ]  # fmt: skip
        click.echo(json.dumps(told, indent=1))
        return
    table(("source", "state"), ages)


@sigupdate.command()
@click.argument("name")
@spool_option
@click.pass_context
def rollback(context: click.Context, name: str, spool: str | None) -> None:
    """Put the file before the last one in force again; a second time, the last one."""
    from spoolscan.signatures.update import roll_back  # noqa: PLC0415 - slow to load

    root = find(context, spool)
    settings = config.load(root)
    stage.check_owner(root)
    place = Spool(root)
    with place.lock("job-signatures"):
        click.echo(roll_back(settings, place, name))
