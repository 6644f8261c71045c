"""``spoolscan quarantine``: look at what was set aside, let it out, or be rid of it."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from spoolscan import config, log, quarantine, stage
from spoolscan.cli.place import find, spool_option
from spoolscan.cli.terminal import plain, table
from spoolscan.errors import SpoolscanError
from spoolscan.quarantine import Case
from spoolscan.spool import Gone, Spool

_HEADER = 4096  # bytes shown


@click.group("quarantine", short_help="Look at what was set aside, release or delete it.")
@spool_option
@click.pass_context
def group(context: click.Context, spool: str | None) -> None:
    """Look at what was set aside, let it out, or be rid of it."""
    context.obj = str(find(context, spool))


@group.command("list")
@click.option("--json", "as_json", is_flag=True, help="A list of objects.")
@click.pass_obj
def show_all(root: str, *, as_json: bool) -> None:
    """What is there, the oldest first."""
    _print(list(_rows(Spool(root))), as_json=as_json)


@group.command()
@click.argument("words", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="A list of objects.")
@click.pass_obj
def search(root: str, words: Sequence[str], *, as_json: bool) -> None:
    """Messages in whose envelope or why.txt all words occur."""
    wanted = [word.lower() for word in words]
    spool = Spool(root)
    found = [
        row
        for row in _rows(spool)
        if all(
            word in f"{json.dumps(row, ensure_ascii=False)} {row['why']}".lower() for word in wanted
        )
    ]
    _print(found, as_json=as_json)


@group.command()
@click.argument("queue_id", metavar="ID")
@click.pass_obj
def show(root: str, queue_id: str) -> None:
    """Why it is there, its decoded parts, and the beginning of its header."""
    spool = Spool(root)
    case = quarantine.find(spool, queue_id)
    for line in quarantine.why(spool, case).split("\n"):
        click.echo(plain(line))
    for name, size in quarantine.parts(spool, case):
        click.echo(f"  {plain(name)}  {size} bytes")
    if not case.there:
        click.echo("The mail itself is not here any more.")
        return
    with spool.open(case.state, case.id) as message:
        header = message.read(0, _HEADER).partition(b"\r\n\r\n")[0]
    click.echo(f"\nThe header of {plain(case.id)}:")
    for text in header.decode("utf-8", "replace").split("\r\n"):
        click.echo(f"  {plain(text)}")


@group.command()
@click.argument("queue_ids", metavar="ID...", nargs=-1, required=True)
@click.pass_obj
def release(root: str, queue_ids: Sequence[str]) -> None:
    """Deliver to the recipients, whatever was found; it is not scanned again."""
    settings, spool = _settled(root)
    with stage.journaled(settings):
        for case in _cases(spool, queue_ids):
            quarantine.release(spool, case)
            _done(case, "released", "to its recipients")


@group.command()
@click.argument("queue_id", metavar="ID")
@click.argument("address")
@click.pass_obj
def forward(root: str, queue_id: str, address: str) -> None:
    """Send a copy to another address, as it is."""
    if not address.isascii() or not address.isprintable() or "@" not in address.strip("@"):
        raise click.UsageError(
            f"{plain(address)}: allowed: an address such as postmaster@example.com"
        )
    settings, spool = _settled(root)
    with stage.journaled(settings):
        (case,) = _cases(spool, [queue_id])
        copy = quarantine.forward(spool, case, settings.site.administrator, address)
        _done(case, "released", f"a copy to {plain(address)}, {copy}")


@group.command()
@click.argument("queue_ids", metavar="ID...", nargs=-1, required=True)
@click.pass_obj
def rescan(root: str, queue_ids: Sequence[str]) -> None:
    """Judge again, by the patterns, rules and signatures of now."""
    settings, spool = _settled(root)
    with stage.journaled(settings):
        for case in _cases(spool, queue_ids):
            quarantine.rescan(spool, case)
            _done(case, "rescanned", "back to incoming/")


@group.command()
@click.argument("queue_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def delete(root: str, queue_ids: Sequence[str], *, yes: bool) -> None:
    """Delete for good: mail, why.txt and decoded parts."""
    settings, spool = _settled(root)
    with stage.journaled(settings):
        for case in _cases(spool, queue_ids):
            if yes or click.confirm(f"delete {case.id} ({case.size} bytes)?"):
                spool.expunge(case.state, case.id)
                _done(case, "deleted", "for good")


@group.command()
@click.option("--days", type=click.IntRange(0), help="Older than that [[quarantine] keep].")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def expire(root: str, days: int | None, *, yes: bool) -> None:
    """Delete what is older, or more, than the settings keep."""
    settings, spool = _settled(root)
    keep = settings.quarantine.keep if days is None else days * 86400.0
    before = f"{datetime.now(UTC) - timedelta(seconds=keep):%Y-%m-%d}"
    if yes or click.confirm(f"delete what came before {before}?"):
        count, size = quarantine.expire(spool, before, settings.quarantine.size)
        click.echo(f"{count} messages deleted, {size} bytes")


def _settled(root: str) -> tuple[config.Config, Spool]:
    """Settings and spool, for those who change something in it.  Raises ConfigError."""
    settings = config.load(root)
    stage.check_owner(Path(root))
    log.setup("quarantine", "error")
    return settings, Spool(root)


def _cases(spool: Spool, queue_ids: Sequence[str]) -> list[Case]:
    """All of them, or Gone before anything is done."""
    found = [quarantine.find(spool, queue_id) for queue_id in queue_ids]
    for case in found:
        if not case.there:
            raise Gone(f"{case.state}/{case.id}: the mail itself is not there any more")
    return found


def _done(case: Case, event: str, words: str) -> None:
    """Say it to whoever asked, and to the journal with his name."""
    log.event("quarantine", case.id, event=event, name=words, by=getpass.getuser())
    click.echo(f"{case.id}: {words}")


def _rows(spool: Spool) -> Iterator[dict[str, Any]]:
    for case in quarantine.cases(spool):
        row: dict[str, Any] = {
            "id": case.id,
            "day": case.day,
            "size": case.size,
            "there": case.there,
        }
        row |= {"there": case.there, "verdict": "", "sender": "", "recipients": []}
        row["why"] = quarantine.why(spool, case)
        if case.there:
            try:
                with spool.open(case.state, case.id) as message:
                    envelope = message.envelope
            except SpoolscanError:
                pass  # half copied, or moved meanwhile: what is known of it is shown
            else:
                row |= {
                    "verdict": envelope.scan.result,
                    "sender": envelope.sender,
                    "recipients": [recipient.address for recipient in envelope.recipients],
                }
        yield row


def _print(rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    table(
        ("id", "verdict", "from", "to"),
        [
            (
                row["id"],
                row["verdict"],
                row["sender"] or "<>",
                ", ".join(row["recipients"]),
            )
            for row in rows
        ],
    )
