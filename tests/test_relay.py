"""No open relay: the forms that servers of the last thirty years fell for, through the whole chain.

victim.example is elsewhere; site.example is ours.  Each form is tried as it stands on its own judge
and over a real session, from outside, from our own networks and as somebody who authenticated.
"""

from __future__ import annotations

import asyncio
import ipaddress
import smtplib
from pathlib import Path as File

import pytest
from loopback import on_loop
from reception import OWN, SETTINGS, Settings, receiving

from spoolscan.config import Config, Site
from spoolscan.receiver.address import BadPath, parse_path
from spoolscan.receiver.client import Client
from spoolscan.receiver.events import Mail
from spoolscan.receiver.judge import make
from spoolscan.receiver.ruling import Ruling
from spoolscan.spool import Spool

SITE = Site(hostname="gate.site.example", domains=("site.example",), networks=("192.0.2.0/24",))
INSIDE = Client(ipaddress.ip_address("192.0.2.1"), trusted=True)
OUTSIDE = Client(ipaddress.ip_address("198.51.100.1"))
NOWHERE = Client()
USER = Client(ipaddress.ip_address("198.51.100.1"), user="alice")

FORMS = [
    "victim@victim.example",
    "victim%victim.example@site.example",
    "victim%victim.example@[192.0.2.9]",
    "victim%victim.example",
    "victim@victim.example@site.example",
    '"victim@victim.example"',
    '"victim@victim.example"@site.example',
    '"victim%victim.example"',
    '"victim%victim.example"@site.example',
    r'"victim\@victim.example"@site.example',
    "victim.example!victim",
    "victim.example!victim@site.example",
    "victim.example!victim@[192.0.2.9]",
    '"victim.example!victim"@site.example',
    "@site.example:victim@victim.example",
    "@[192.0.2.9]:victim@victim.example",
    "@site.example,@other.example:victim@victim.example",
    "victim@[203.0.113.1]",
    "victim@[IPv6:2001:db8::25]",
    "victim@203.0.113.1",
    "victim@victim.example.",
    "victim@site.example.",
    "victim@sub.site.example",
    "victim@notsite.example",
    "victim@site.example.victim.example",
    "victim:victim.example@site.example",
    '"victim:victim.example"@site.example',
    "victim@site.example:victim.example",
    "victim@site.example\\@victim.example",
    "victim@site_example",
    "<victim@victim.example>@site.example",
]


# Those that name a second destination, or their host otherwise than by a plain name.
SECOND = [form for form in FORMS if set(form) & set('%!":[,') or form.endswith((".", ".1"))]

RULES = {
    "as shipped": "",
    "by pattern": "allow:TRUSTED:ALL:ALL\nallow:ALL:ALL:*@site.example\n",
    "by expression": "allow:TRUSTED:ALL:ALL\nallow:ALL:ALL:/@site[.]example$/\n",
    "by access": "allow:TRUSTED:ALL:ALL\n",
}
ACCESS = {"by access": "To:site.example OK\nFrom:a@b.example OK\n"}


def ruling(folder: File, form: str, client: Client, rules: str = "as shipped") -> Ruling | None:
    """What becomes of it; None where it is no address at all."""
    try:
        path = parse_path(form)
    except BadPath:
        return None
    (folder / "etc").mkdir(exist_ok=True)
    if RULES[rules]:
        (folder / "etc/smtpd_check_rules").write_text(RULES[rules])
    (folder / "etc/access").write_text(ACCESS.get(rules, ""))
    judge = make(Config(root=folder, site=SITE))
    return asyncio.run(judge.recipient(client, Mail(parse_path("a@b.example")), path))


def test_there_are_more_than_the_seventeen_classical_forms() -> None:
    assert len(set(FORMS)) >= 17
    assert len(SECOND) >= 17


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_relayed_for_an_outside_peer(tmp_path: File, form: str, rules: str) -> None:
    for client in (OUTSIDE, NOWHERE):
        found = ruling(tmp_path, form, client, rules)
        assert found is None or found.reply.wire().startswith(b"550 5.7.1 ")


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("form", SECOND)
def test_a_second_destination_is_refused_to_those_too_who_may_send_anywhere(
    tmp_path: File, form: str, rules: str
) -> None:
    for client in (INSIDE, USER):
        found = ruling(tmp_path, form, client, rules)
        assert found is None or found.reply.wire().startswith(b"550 5.7.1 ")


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("address", ["bob@site.example", "bob@SITE.example", '"b b"@site.example'])
def test_anybody_may_send_to_the_site(tmp_path: File, address: str, rules: str) -> None:
    for client in (OUTSIDE, NOWHERE, INSIDE, USER):
        found = ruling(tmp_path, address, client, rules)
        assert found is not None
        assert found.reply.positive


def test_postmaster_needs_no_domain(tmp_path: File) -> None:
    found = ruling(tmp_path, "postmaster", OUTSIDE)
    assert found is not None
    assert found.reply.positive


def test_own_networks_and_users_may_send_to_anybody(tmp_path: File) -> None:
    for client, may in ((INSIDE, True), (USER, True), (OUTSIDE, False), (NOWHERE, False)):
        found = ruling(tmp_path, "eve@elsewhere.example", client)
        assert found is not None
        assert found.reply.positive is may


async def _accepted(spool: Spool, settings: Settings, forms: list[str]) -> list[str]:
    """Over a real session, the forms that RCPT took."""

    def talk(port: int) -> list[str]:
        taken: list[str] = []
        for form in forms:
            with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
                client.ehlo("client.example")
                client.docmd("MAIL", "FROM:<a@b.example>")
                ways = (f"TO:<{form}>", f"TO: {form}", f"TO:<{form}> ")
                taken += [way for way in ways if client.docmd("RCPT", way)[0] < 400]
        return taken

    async with receiving(spool, settings) as receiver:
        return await asyncio.to_thread(talk, receiver.addresses[0][1])


@on_loop
async def test_no_form_gets_through_a_session(spool: Spool) -> None:
    assert await _accepted(spool, SETTINGS, FORMS) == []
    assert await _accepted(spool, OWN, SECOND) == []
