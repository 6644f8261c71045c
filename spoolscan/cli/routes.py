"""``spoolscan routes``: where mail goes, without sending any."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import click

from spoolscan import config
from spoolscan.cli.place import find, spool_option
from spoolscan.cli.terminal import plain
from spoolscan.errors import SpoolscanError
from spoolscan.forwarder.destinations import maker_for, place_of, read_routes
from spoolscan.nexthop.url import parse


@click.group("routes", short_help="Where mail goes.")
def group() -> None:
    """Where mail goes."""


@group.command("test")
@click.argument("address")
@spool_option
@click.pass_context
def test(context: click.Context, spool: str | None, address: str) -> None:
    """Say which line decides about ADDRESS, and where its mail would go.  Sends nothing."""
    settings = config.load(find(context, spool))
    line = read_routes(settings).current().find(address)
    file = settings.path(settings.forwarder.routes)
    where = f"{file}:{line.number}: {line.addresses}" if line.number else "[forwarder] next_hop"
    click.echo(f"decides  {plain(where)}")
    _, domain = place_of(line, address)
    for number, url in enumerate(line.urls):
        what = "goes to" if number == 0 else "in turns" if line.balance else "or else"
        click.echo(f"{what:8} {plain(url)}")
        for host in _hosts(settings, url, domain):
            click.echo(f"         {plain(host)}")


def _hosts(settings: config.Config, url: str, domain: str) -> Iterator[str]:
    """What name servers say of an ``mx:``."""
    hop = parse(url)
    if hop.scheme != "mx":
        return
    maker = maker_for(settings)
    try:
        found = asyncio.run(maker.lookup.hosts(hop.address.host or domain, local=hop.local))
    except SpoolscanError as error:
        yield str(error)
    else:
        yield from (f"{host.name} [{host.address}]" for host in found)
