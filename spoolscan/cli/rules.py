"""``spoolscan rules``: reads the rules, and says what they make of one recipient."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click

from spoolscan import config
from spoolscan.cli.place import find, spool_option
from spoolscan.cli.terminal import plain
from spoolscan.receiver.address import NULL, BadPath, parse_path
from spoolscan.receiver.address import Path as MailPath
from spoolscan.receiver.case import Answer, Fact
from spoolscan.receiver.client import Client
from spoolscan.receiver.events import Mail
from spoolscan.receiver.judge import Judge, make
from spoolscan.receiver.lookups import Lookups
from spoolscan.receiver.policy import parse_peer
from spoolscan.receiver.reverse import ReverseNames
from spoolscan.receiver.ruling import Ruling

_OUTSIDE = Client(parse_peer("198.51.100.1"))  # of nobody (RFC 5737)
_ELSEWHERE = parse_path("user@elsewhere.invalid")


@click.group(short_help="Who may send to whom: check the rules, or try them.")
def rules() -> None:
    """Who may send to whom: etc/smtpd_check_rules, etc/access and the DNS lists."""


@rules.command()
@spool_option
@click.pass_context
def check(context: click.Context, spool: str | None) -> int:
    """Read the rules and the access map; exits 1 where anybody could send to anywhere."""
    settings = config.load(find(context, spool))
    lines, is_open = checked(settings)
    for line in lines:
        click.echo(plain(line))
    return int(is_open)


def checked(settings: config.Config) -> tuple[list[str], bool]:
    """What was read, a line each, and whether it makes an open relay.  Raises ConfigError."""
    judge = make(settings, lookups=_Silence(settings.dnsbl))
    lines = [
        f"rules      {settings.path(settings.rules.file)}: {len(judge.rulebook.rules.rules)} rules",
        f"access     {settings.path(settings.rules.access)}: {len(judge.rulebook.access)} lines",
        f"dnsbl      {len(settings.dnsbl.zone)} lists",
    ]
    ruling = asyncio.run(judge.recipient(_OUTSIDE, Mail(_ELSEWHERE), _ELSEWHERE))
    if ruling.reply.positive:
        lines.append(f"warning    anybody may send to anywhere: an open relay, by {ruling.why}")
    return lines, ruling.reply.positive


@rules.command()
@click.option("--ip", required=True, metavar="ADDRESS", help="Who connects.")
@click.option("--name", metavar="NAME", help="Its name; looked up where none is given.")
@click.option("--user", default="", metavar="NAME", help="As whom it authenticates.")
@click.option("--helo", default="", metavar="NAME", help="What it says it is.")
@click.option("--from", "sender", default="", metavar="ADDRESS", help="The sender; <> for none.")
@click.option("--to", "recipient", required=True, metavar="ADDRESS", help="The recipient.")
@click.option("--json", "as_json", is_flag=True, help="A list of one object.")
@spool_option
@click.pass_context
def test(  # noqa: PLR0917 - click calls it by keyword
    context: click.Context,
    ip: str,
    name: str | None,
    user: str,
    helo: str,
    sender: str,
    recipient: str,
    spool: str | None,
    *,
    as_json: bool,
) -> int:
    """Say what becomes of one recipient, which line decides, and what was looked up for it.

    Exits 0 where it is accepted, 1 where it is refused.
    """
    settings = config.load(find(context, spool))
    address = parse_peer(ip)
    if address is None:
        raise click.BadParameter("not an IP address", param_hint="--ip")
    try:
        paths = _path(sender), parse_path(recipient.removeprefix("<").removesuffix(">"))
    except BadPath as error:
        raise click.BadParameter(str(error), param_hint="--from or --to") from error

    async def judged() -> tuple[Client, Judge, Ruling]:
        judge = make(settings, lookups=noted)
        found = name
        if found is None and settings.receiver.reverse_lookup:
            found = await ReverseNames(settings.receiver.reverse_timeout).name_of(address)
        unsure = found is None and settings.receiver.reverse_lookup
        trusted = judge.policy.trusts(address)
        client = Client(address, (found or "").lower(), helo, trusted, user, unsure=unsure)
        return client, judge, await judge.recipient(client, Mail(paths[0]), paths[1])

    noted = _Noted(settings.dnsbl)
    client, judge, ruling = asyncio.run(judged())
    answer = {
        "id": recipient,
        "accepted": ruling.reply.positive and not ruling.discard,
        "discarded": ruling.discard,
        "reply": ruling.reply.wire().decode("ascii").rstrip(),
        "hangs_up": ruling.hang_up,
        "delay": ruling.delay,
        "why": ruling.why,
        "line": _line(judge, settings, ruling.why),
        "name": client.name,
        "ours": client.ours,
        "facts": [
            {"fact": str(fact), "answer": None if found is None else list(found)}
            for fact, found in noted.facts.items()
        ],
    }
    if as_json:
        click.echo(json.dumps([answer]))
    else:
        _show(ip, ruling, answer["line"], client, noted)
    return 0 if ruling.reply.positive else 1


class _Noted(Lookups):
    """Remembers what it was asked."""

    def __init__(self, settings: config.Dnsbl) -> None:
        super().__init__(settings)
        self.facts: dict[Fact, Answer] = {}

    async def answer(self, fact: Fact) -> Answer:
        self.facts[fact] = await super().answer(fact)
        return self.facts[fact]


class _Silence(Lookups):
    """Asks nobody."""

    async def answer(self, fact: Fact) -> Answer:  # noqa: ARG002 - the signature of Lookups
        return None


def _path(text: str) -> MailPath:
    """Raises BadPath."""
    text = text.removeprefix("<").removesuffix(">")
    return parse_path(text) if text else NULL


def _line(judge: Judge, settings: config.Config, why: str) -> str:
    """The line that decided, as it stands in its file; "" where none did."""
    file, _, number = why.partition(" ")[0].rstrip("?").partition(":")
    if file == "rules":
        found = [rule.text for rule in judge.rulebook.rules.rules if str(rule.line) == number]
        return found[0] if found else ""
    if file == "access" and number:
        lines = Path(settings.path(settings.rules.access)).read_text("utf-8-sig").split("\n")
        return lines[int(number) - 1].rstrip()
    return ""


def _show(ip: str, ruling: Ruling, line: object, client: Client, noted: _Noted) -> None:
    fate = "discarded" if ruling.discard else "accepted" if ruling.reply.positive else "refused"
    kind = "one of ours" if client.ours else "from outside"
    name = client.name or ("name not known for now" if client.unsure else "no name")
    click.echo(f"{fate}: {ruling.reply.wire().decode('ascii').rstrip()}")
    click.echo(f"  peer       {plain(ip)} ({plain(name)}), {kind}")
    click.echo(f"  decided    {ruling.why}  {plain(line)}".rstrip())
    if ruling.delay or ruling.hang_up:
        after = f"after {ruling.delay:g} s" if ruling.delay else "at once"
        click.echo(f"  then       the answer {after}" + (", and we hang up" * ruling.hang_up))
    for fact, answer in noted.facts.items():
        found = "no answer" if answer is None else ", ".join(answer) or "nothing"
        click.echo(f"  looked up  {plain(fact)}: {plain(found)}")
