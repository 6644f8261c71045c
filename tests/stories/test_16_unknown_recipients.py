"""Mail for those who do not exist is refused at the door, and nobody gets a report about it."""

from __future__ import annotations

import json

import pytest
from gateway import INSIDE, Gateway
from letters import letter
from postfix_server import PostfixServer

pytestmark = pytest.mark.real

QUOTED = "odd>name@example.com"


def asked(gateway: Gateway, address: str, peer: str = "127.0.0.1") -> str:
    """What RCPT is told."""
    with gateway.connect(peer) as client:
        client.ehlo("mail.example.net")
        client.mail("alice@example.net")
        code, text = client.rcpt(address)
    return f"{code} {text.decode().split(' ')[0]}"


def test_the_next_hop_says_who_exists_and_is_remembered_while_it_is_down(
    gateway: Gateway, postfix: PostfixServer
) -> None:
    gateway.configure("recipients", check='"callout"', timeout='"5s"')
    gateway.start()
    assert asked(gateway, "bob@example.com") == "250 2.1.5"
    assert asked(gateway, "nobody@example.com") == "550 5.1.1"
    assert asked(gateway, "nobody@example.com", INSIDE) == "550 5.1.1"
    assert asked(gateway, "full@example.com") == "450 4.4.3"
    assert asked(gateway, "dora@example.org", INSIDE) == "250 2.1.5"
    gateway.send(letter("for Bob"))
    postfix.wait_for("bob@example.com")

    spool = ("--spool", str(gateway.root))
    rows = json.loads(gateway.command(*spool, "recipients", "list", "--json").stdout)
    assert {row["id"]: row["exists"] for row in rows} == {
        "bob@example.com": "yes",
        "nobody@example.com": "no",
    }
    tried = gateway.command(*spool, "recipients", "test", "carol@example.com")
    assert tried.stdout.startswith("carol@example.com: yes: 250 ")

    postfix.stop()
    assert asked(gateway, "bob@example.com") == "250 2.1.5"
    assert asked(gateway, "nobody@example.com") == "550 5.1.1"
    assert asked(gateway, "carol@example.com") == "450 4.4.3"
    tried = gateway.command(*spool, "recipients", "test", "carol@example.com", check=False)
    assert tried.returncode == 2
    assert gateway.command(*spool, "recipients", "clear", "nobody@example.com").stdout == (
        "1 forgotten\n"
    )
    assert asked(gateway, "nobody@example.com") == "450 4.4.3"
    assert gateway.command(*spool, "recipients", "clear").stdout == "1 forgotten\n"
    assert asked(gateway, "bob@example.com") == "450 4.4.3"
    assert gateway.stop() == 0
    assert gateway.messages("outgoing") == []


def test_each_is_asked_about_where_its_mail_goes_and_a_quoted_one_arrives(
    gateway: Gateway, postfix: PostfixServer
) -> None:
    """The relay for all else knows none of ours, and is not asked about them."""
    table = gateway.root / "etc" / "routes"
    with PostfixServer([QUOTED, "eve@example.net"], hostname="relay.example.net") as relay:
        gateway.configure("forwarder", next_hop=f'"{relay.url}"')
        gateway.configure("recipients", check='"callout"', timeout='"30s"')
        table.write_text(f"{QUOTED} {relay.url}\nexample.com {postfix.url}\n")
        gateway.start()
        assert asked(gateway, "bob@example.com") == "250 2.1.5"
        assert asked(gateway, "nobody@example.com") == "550 5.1.1"
        assert asked(gateway, '"x>"@example.com') == "550 5.1.1"
        gateway.send(letter("odd"), recipients=['"odd>name"@example.com'])
        relay.wait_for(QUOTED)
        assert "RCPT from" not in relay.log()  # it never refused anybody
        table.write_text(f"example.com {relay.url}\nnonsense\n")
        assert asked(gateway, "carol@example.com") == "250 2.1.5"
        gateway.wait_for_log("event=routes-kept.*routes:2: ")
        table.write_text(f"example.com {relay.url}?tls=verify\n")
        assert asked(gateway, "dora@example.com") == "450 4.4.3"
        gateway.wait_for_log("offers no STARTTLS, and tls=verify is set for it")
        assert gateway.stop() == 0


def test_a_list_says_who_exists_and_is_edited_in_passing(
    gateway: Gateway, postfix: PostfixServer
) -> None:
    file = gateway.root / "etc" / "recipients"
    file.write_text("bob@example.com\nsales-*@example.com\n")
    gateway.configure("recipients", check='"list"')
    gateway.start()
    assert asked(gateway, "Bob+shop@example.com") == "250 2.1.5"
    assert asked(gateway, "sales-north@example.com") == "250 2.1.5"
    assert asked(gateway, "carol@example.com") == "550 5.1.1"
    assert asked(gateway, "postmaster@example.com") == "250 2.1.5"
    file.write_text("carol@example.com\nnonsense\n")
    assert asked(gateway, "carol@example.com") == "550 5.1.1"
    gateway.wait_for_log("recipients:2: not an address")
    file.write_text("carol@example.com\n")
    assert asked(gateway, "carol@example.com") == "250 2.1.5"
    spool = ("--spool", str(gateway.root))
    assert gateway.command(*spool, "recipients", "list").stdout.split() == [
        "address", "carol@example.com",
    ]  # fmt: skip
    tried = gateway.command(*spool, "recipients", "test", "bob@example.com", check=False)
    assert (tried.returncode, tried.stdout) == (1, "bob@example.com: no: no line names it\n")
    file.unlink()
    gateway.reload()  # a list that is not there is no list of nobody
    gateway.wait_for_log("event=not-reloaded")
    assert asked(gateway, "carol@example.com") == "250 2.1.5"
    assert "1 lines" not in gateway.command(*spool, "check", check=False).stdout
