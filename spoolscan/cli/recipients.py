"""``spoolscan recipients``: who exists here, as the receiver sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime

import click

from spoolscan import config
from spoolscan.cli.place import find, spool_option
from spoolscan.cli.terminal import plain, table
from spoolscan.errors import ConfigError
from spoolscan.receiver import mailboxes
from spoolscan.receiver.address import BadPath, Path, parse_path
from spoolscan.receiver.answers import FILE, Answer, Answers
from spoolscan.receiver.inquiry import Inquiry

_WORDS = {True: "yes", False: "no", None: "cannot tell"}
_STATUS = {True: 0, False: 1, None: 2}


@click.group(short_help="Who exists here: list, test ADDRESS, clear.")
@spool_option
@click.pass_context
def recipients(context: click.Context, spool: str | None) -> None:
    """Who exists here, by the list or by what the next hop answered."""
    context.obj = config.load(find(context, spool))


@recipients.command("list")
@click.option("--json", "as_json", is_flag=True, help="A list of objects.")
@click.pass_obj
def show(settings: config.Config, *, as_json: bool) -> None:
    """The lines of the list, or what the next hop answered and is remembered."""
    head: Sequence[str]
    rows: list[list[str]]
    if settings.recipients.check == "list":
        found = mailboxes.read_list(settings).current()
        lines = sorted([*found.addresses, *(f"@{name}" for name in found.domains), *found.globs])
        head, rows = ("address",), [[line] for line in lines]
    else:
        head = ("address", "exists", "asked", "answer")
        rows = [_row(answer) for answer in _remembered(settings)]
    if as_json:
        keys = ("id", *head[1:])
        click.echo(json.dumps([dict(zip(keys, row, strict=True)) for row in rows]))
    elif rows:
        table(head, rows)
    else:
        click.echo("nobody yet")


@recipients.command("test")
@click.argument("address")
@click.option("--json", "as_json", is_flag=True, help="A list of one object.")
@click.pass_obj
def try_one(settings: config.Config, address: str, *, as_json: bool) -> int:
    """Whether mail for ADDRESS is taken from outside: 0 yes, 1 no, 2 cannot tell now.

    With `check = "callout"` the next hop is asked now, whatever is remembered.
    """
    exists, why = _judge(settings, _path(address))
    if as_json:
        click.echo(json.dumps([{"id": address, "exists": exists, "why": why}]))
    else:
        click.echo(f"{plain(address)}: {_WORDS[exists]}: {plain(why)}")
    return _STATUS[exists]


@recipients.command()
@click.argument("address", required=False)
@click.pass_obj
def clear(settings: config.Config, address: str | None) -> None:
    """Forget what the next hop answered, about ADDRESS or about all."""
    mailbox = None if address is None else _path(address).mailbox
    answers = Answers(settings.path(FILE), settings.recipients.remembered)
    try:
        click.echo(f"{answers.clear(mailbox)} forgotten")
    finally:
        answers.close()


def _path(address: str) -> Path:
    try:
        return parse_path(address, utf8=True)
    except BadPath as error:
        raise click.UsageError(f"{plain(address)}: {error}") from error


def _judge(settings: config.Config, path: Path) -> tuple[bool | None, str]:
    chosen = settings.recipients
    if path.domain and path.domain not in settings.site.domains:
        return False, "not of our domains"
    if chosen.check == "none":
        return True, "every recipient of our domains is taken"
    if chosen.check == "list":
        known = mailboxes.read_list(settings).current()
        line = known.why(path.local, path.domain, chosen.delimiter)
        return bool(line), f"the line {line}" if line else "no line names it"
    if not path.domain:
        return True, "postmaster is always taken"
    answer = asyncio.run(_ask(settings, path.address))
    if answer is None:
        return True, "its next hop cannot be asked, and takes everybody"
    return answer.known, answer.words


async def _ask(settings: config.Config, address: str) -> Answer | None:
    inquiry = Inquiry(settings)
    try:
        return await inquiry.ask(address)
    finally:
        inquiry.close()


def _remembered(settings: config.Config) -> list[Answer]:
    if settings.recipients.check == "none":
        raise ConfigError(
            f"{settings.path(config.FILE)}: recipients.check is none: every recipient of our"
            ' domains is taken; allowed: "list", "callout"'
        )
    answers = Answers(settings.path(FILE), settings.recipients.remembered)
    try:
        return answers.all()
    finally:
        answers.close()


def _row(answer: Answer) -> list[str]:
    when = datetime.fromtimestamp(answer.at, UTC).strftime("%Y-%m-%d %H:%M")
    return [answer.address, _WORDS[answer.known], when, answer.words]
