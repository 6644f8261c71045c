"""``check`` and the stages one by one: ``smtpd``, ``scanmail``, ``smtpfwdd``."""

from __future__ import annotations

import click

from spoolscan import stage
from spoolscan.cli.place import find, spool_option


@click.command(short_help="Read settings, patterns, rules, templates.")
@spool_option
@click.pass_context
def check(context: click.Context, spool: str | None) -> None:
    """Read settings, patterns, rules and templates; start nothing."""
    from spoolscan.cli.checks import check_all  # noqa: PLC0415 - loads every engine

    for line in check_all(find(context, spool)):
        click.echo(line)


@click.command()
@click.option("--stdio", is_flag=True, help="Talk to one peer on standard input (for inetd).")
@spool_option
@click.pass_context
def smtpd(context: click.Context, spool: str | None, *, stdio: bool) -> None:
    """Receive mail by SMTP into incoming/."""
    from spoolscan.receiver.stage import Receiving  # noqa: PLC0415 - one stage loads one stage

    if stdio:
        from spoolscan.receiver.stdio import serve  # noqa: PLC0415 - as above

        serve(find(context, spool))
        return
    stage.live("smtpd", find(context, spool), Receiving())


@click.command()
@click.option("--once", is_flag=True, help="Judge what is there, then end (for cron).")
@spool_option
@click.pass_context
def scanmail(context: click.Context, spool: str | None, *, once: bool) -> None:
    """Judge the messages of incoming/."""
    from spoolscan.scanner.stage import Scanning  # noqa: PLC0415 - one stage loads one stage

    stage.live("scanmail", find(context, spool), Scanning(once=once), once=once)


@click.command()
@click.option("--once", is_flag=True, help="Forward what is due, then end (for cron).")
@spool_option
@click.pass_context
def smtpfwdd(context: click.Context, spool: str | None, *, once: bool) -> None:
    """Forward the messages of outgoing/ to the next hop."""
    from spoolscan.forwarder.stage import Forwarding  # noqa: PLC0415 - one stage loads one stage

    stage.live("smtpfwdd", find(context, spool), Forwarding(once=once), once=once)
