"""``spoolscan passwd``: who may send through us from outside."""

from __future__ import annotations

import sys

import click

from spoolscan import config
from spoolscan.cli.place import find, spool_option
from spoolscan.users import NAME, Hashed, Users


@click.command(short_help="Set a password for sending from outside.")
@click.argument("user")
@click.option("--delete", is_flag=True, help="Take the user out.")
@spool_option
@click.pass_context
def passwd(context: click.Context, spool: str | None, user: str, *, delete: bool) -> None:
    """Set a user's password, or add a user: it is asked for, or read from a pipe (one line)."""
    settings = config.load(find(context, spool)).receiver.auth
    users = Users(find(context, spool) / settings.users)
    if not NAME.fullmatch(user):
        raise click.BadParameter("a name without spaces and colons")
    if delete:
        if not users.change(user, None):
            raise click.ClickException(f"{user}: no such user in {users.path}")
        click.echo(f"{user}: taken out of {users.path}")
        return
    known = users.change(user, Hashed.of(_ask()))
    click.echo(f"{user}: {'changed' if known else 'added'} in {users.path}")
    if not settings.enabled:
        click.echo("nobody logs in yet: [receiver.auth] enabled is false")


def _ask() -> str:
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password or len(password.encode("utf-8")) > 255:
        raise click.BadParameter("a password of 1 to 255 bytes")
    return str(password)
