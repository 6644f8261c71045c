"""``spoolscan queue``: what waits, and what to do with it, while the stages run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

import click

from spoolscan import queue
from spoolscan.cli.place import find, spool_option
from spoolscan.cli.terminal import plain
from spoolscan.durations import seconds
from spoolscan.errors import ConfigError, SpoolscanError
from spoolscan.queue import Item, Wanted
from spoolscan.queueid import QUEUE_ID
from spoolscan.spool import Spool

_F = TypeVar("_F", bound=Callable[..., Any])
_SOME_FAILED: Final = 1
_HEADER: Final = 65_536  # bytes of a message in which its header is looked for


def _age_of(_: click.Context, __: click.Parameter, value: str) -> float:
    try:
        return seconds(f"{value}s" if value.isdecimal() else value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _filters(command: _F) -> _F:
    for decorate in (
        click.option(
            "--older", callback=_age_of, default="0", metavar="TIME", help='Such as "2h".'
        ),
        click.option(
            "--state", "states", type=click.Choice(queue.STATES), multiple=True, help="Repeatable."
        ),
        click.option("--recipient", default="", metavar="ADDRESS", help="Or domain; with * and ?."),
        click.option("--sender", default="", metavar="ADDRESS", help='The same; "<>" is the null.'),
    ):
        command = decorate(command)
    return spool_option(command)


def _chosen(command: _F) -> _F:
    """Adds queue ids and the filters, one of which is needed."""
    return click.argument("ids", metavar="[ID...]", nargs=-1)(_filters(command))


def _wanted(
    ids: Sequence[str], sender: str, recipient: str, states: Sequence[str], older: float
) -> Wanted:
    for word in ids:
        if not QUEUE_ID.fullmatch(word):
            raise click.UsageError(f"{plain(word)}: not a queue id")
    return Wanted(frozenset(ids), tuple(states) or queue.STATES, sender, recipient, older)


@click.group("queue", invoke_without_command=True, short_help="What waits, and what to do with it.")
@click.pass_context
def group(context: click.Context) -> None:
    """What waits in incoming/, scanning/, outgoing/ and hold/, and what to do with it."""
    if context.invoked_subcommand is None:
        context.invoke(list_, spool=None, sender="", recipient="", states=(), older=0.0)


@group.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON list of objects.")
@_filters
@click.pass_context
def list_(
    context: click.Context, /, spool: str | None, *, as_json: bool = False, **filters: Any
) -> None:
    """Show what waits, oldest first, each as soon as it is read."""
    found = queue.items(Spool(find(context, spool)), _wanted((), **filters))
    if as_json:
        _print_json(found)
    else:
        _print_table(found)


@group.command()
@click.argument("queue_id", metavar="ID")
@spool_option
@click.pass_context
def show(context: click.Context, spool: str | None, queue_id: str) -> None:
    """Show one message's envelope and header."""
    place = Spool(find(context, spool))
    wanted = _wanted((queue_id,), "", "", (), 0.0)
    for item in queue.items(place, wanted):
        click.echo(f"{item.queue_id} in {item.state}/, {item.size} bytes")
        if item.envelope is None:
            click.echo(f"  {plain(item.problem)}")
            return
        for name, value in _fields(item).items():
            click.echo(f"  {name:9} {plain(value)}")
        for one in item.envelope.recipients:
            more = " ".join(f"{tag} {value}" for tag, value in one.extras)
            click.echo(f"  {one.state:9} {plain(f'<{one.address}> {more}')}".rstrip())
        with place.open(item.state, item.queue_id) as message:
            header = message.read(0, _HEADER).partition(b"\r\n\r\n")[0]
        click.echo()
        for line in header.decode("utf-8", "replace").split("\r\n"):
            click.echo(f"  {plain(line)}")
        return
    raise ConfigError(f"{queue_id}: not in {', '.join(queue.STATES)}")


def _fields(item: Item) -> dict[str, str]:
    envelope = item.envelope
    assert envelope is not None  # noqa: S101 - the caller looked
    fields = {
        "arrived": f"{envelope.arrived:%Y-%m-%d %H:%M:%S} UTC",
        "from": f"<{envelope.sender}>",
        "peer": f"{envelope.peer_address} {envelope.peer_name}".strip(),
        "scan": str(envelope.scan).strip(),
        **{tag.lower(): value for tag, value in envelope.extras},
    }
    if item.state == "outgoing" and item.entry.due > time.time():
        fields["next try"] = f"{datetime.fromtimestamp(item.entry.due, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return fields


@group.command()
@click.argument("which", metavar="[ID|DOMAIN...]", nargs=-1)
@spool_option
@click.pass_context
def flush(context: click.Context, spool: str | None, which: Sequence[str]) -> None:
    """Have messages tried now: all, some, or those for some domains."""
    place = _ours(context, spool)
    ids = frozenset(word for word in which if QUEUE_ID.fullmatch(word))
    if not which:
        found = queue.items(place, Wanted(states=("outgoing",)))
        click.echo(f"{queue.flush(place, found)} to be tried now")
        return
    count = 0
    if ids:
        count += queue.flush(place, queue.items(place, Wanted(ids, ("outgoing",))))
    for domain in dict.fromkeys(which):
        if domain not in ids:
            wanted = Wanted(states=("outgoing",), recipient=domain)
            count += queue.flush(place, queue.items(place, wanted))
    click.echo(f"{count} to be tried now")


@group.command()
@_chosen
@click.pass_context
def hold(context: click.Context, /, spool: str | None, **chosen: Any) -> int:
    """Set messages of incoming/ and outgoing/ aside."""
    place = _ours(context, spool)
    return _each("hold", place, partial(queue.hold, place), chosen)


@group.command()
@click.option("--unscanned", is_flag=True, help="Deliver them, whatever was found or not found.")
@_chosen
@click.pass_context
def release(context: click.Context, /, spool: str | None, *, unscanned: bool, **chosen: Any) -> int:
    """Let messages of hold/ go on: clean ones to outgoing/, others to be scanned again."""
    place = _ours(context, spool)
    return _each("release", place, partial(queue.release, place, unscanned=unscanned), chosen)


@group.command()
@_chosen
@click.pass_context
def requeue(context: click.Context, /, spool: str | None, **chosen: Any) -> int:
    """Have messages of hold/ and outgoing/ scanned again."""
    place = _ours(context, spool)
    return _each("requeue", place, partial(queue.requeue, place), chosen)


@group.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@_chosen
@click.pass_context
def delete(context: click.Context, /, spool: str | None, *, yes: bool, **chosen: Any) -> int:
    """Remove messages for good."""
    place = _ours(context, spool)

    def sure(found: Sequence[Item]) -> None:
        if found and not yes:
            _print_table(found)
            click.confirm(f"Delete {len(found)} for good?", abort=True)

    return _each("delete", place, partial(queue.delete, place), chosen, sure)


def _ours(context: click.Context, spool: str | None) -> Spool:
    from spoolscan import stage  # noqa: PLC0415 - slow to load, and not needed to look

    root = find(context, spool)
    stage.check_owner(root)
    return Spool(root)


def _each(
    what: str,
    place: Spool,
    act: Callable[[Item], str],
    chosen: dict[str, Any],
    sure: Callable[[Sequence[Item]], None] = lambda _: None,
) -> int:
    """Do it with each, and say of each what became of it."""
    if not any(chosen.values()):
        raise click.UsageError("name queue ids, or say which by --sender, --recipient, ...")
    wanted = _wanted(**chosen)
    found = [
        item
        for item in queue.items(place, wanted)
        if wanted.ids or item.state in queue.FROM[what]  # what was named is refused in words
    ]
    sure(found)
    failed = 0
    for item in found:
        try:
            click.echo(f"{item.queue_id}: {act(item)}")
        except SpoolscanError as error:
            click.echo(plain(error), err=True)
            failed += 1
    for queue_id in queue.missing(wanted, found):
        click.echo(f"{queue_id}: not there", err=True)
        failed += 1
    return _SOME_FAILED if failed else 0


def _print_json(found: Iterable[Item]) -> None:
    """One list, written as it is read."""
    between = "[\n"
    for item in found:
        envelope = item.envelope
        click.echo(between, nl=False)
        click.echo(
            json.dumps(
                {
                    "id": item.queue_id,
                    "state": item.state,
                    "size": item.size,
                    "arrived": datetime.fromtimestamp(item.arrived, UTC).isoformat(),
                    "next": datetime.fromtimestamp(item.entry.due, UTC).isoformat(),
                    "sender": envelope.sender if envelope else None,
                    "recipients": [
                        {"address": one.address, "state": one.state}
                        for one in (envelope.recipients if envelope else ())
                    ],
                    "scan": str(envelope.scan).strip() if envelope else None,
                    "problem": item.problem or None,
                }
            ),
            nl=False,
        )
        between = ",\n"
    click.echo("[]" if between == "[\n" else "\n]")


def _print_table(found: Iterable[Item]) -> None:
    """80 columns wide, a line each as soon as it is read."""
    now = time.time()
    count = size = 0
    click.echo(f"{'id':23} {'state':8} {'age':>4} {'size':>5} {'from':17} to")
    for item in found:
        count += 1
        size += item.size
        to = item.pending or (item.problem,)
        first = _cut(to[0], 17 if len(to) == 1 else 13) + (f" +{len(to) - 1}" if to[1:] else "")
        sender = _cut(item.envelope.sender or "<>", 17) if item.envelope else "?"
        age, much = _age(now - item.arrived), _bytes(item.size)
        click.echo(f"{item.queue_id} {item.state:8} {age:>4} {much:>5} {sender:17} {first}")
    click.echo(f"{count} waiting, {_bytes(size)}")


def _cut(text: str, width: int) -> str:
    shown = plain(text)
    return shown if len(shown) <= width else f"{shown[: width - 2]}.."


def _age(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def _bytes(count: float) -> str:
    for unit in ("", "K", "M", "G"):
        if count < 10_000:
            return f"{count:.0f}{unit}"
        count /= 1024
    return f"{count:.0f}T"
