"""What the receiver writes down of a peer: the Received field, its name, the log."""

from __future__ import annotations

import ipaddress
import logging

import dns.asyncresolver
import pytest
from loopback import on_loop
from name_server import NameServer
from reception import connected, receiving

from spoolscan.envelope import Envelope, Recipient
from spoolscan.receiver import trace
from spoolscan.receiver.client import Client
from spoolscan.receiver.reverse import ReverseNames
from spoolscan.spool import Spool


def test_the_received_field_stays_one_field_whatever_the_peer_calls_itself() -> None:
    for helo in ("a\r\nBcc: x", "a (b; c) <d>", "\u202e\xe4\ufffd", "x" * 5000, ""):
        envelope = Envelope("", (Recipient('"a;b"@site.example'),), protocol="ESMTP")
        client = Client(ipaddress.ip_address("2001:db8::1"), helo, helo, tls=helo)
        field = trace.received(client, envelope, "20261121t053000z-d6m01v", "gate.site.example")
        assert all(byte in b"\r\n\t" or 0x20 <= byte <= 0x7E for byte in field)
        assert field.endswith(b"\r\n")
        lines = field[:-2].split(b"\r\n")
        assert lines[0].startswith(b"Received: from ")
        assert all(line.startswith(b"\t") for line in lines[1:])
        assert max(map(len, lines)) < 998
        assert b"[IPv6:2001:db8::1])" in field
        assert b'for <"a;b"@site.example>;' in field


def test_recipients_are_named_only_where_there_is_one() -> None:
    envelope = Envelope("", (Recipient("a@site.example"), Recipient("b@site.example")))
    assert b"for <" not in trace.received(Client(), envelope, "x", "gate.site.example")


@on_loop
async def test_a_name_is_believed_only_when_it_leads_back() -> None:
    records = {
        "1.8.8.8.in-addr.arpa PTR": ["Mail.Example.ORG."],
        "mail.example.org A": ["8.8.8.1"],
        "2.8.8.8.in-addr.arpa PTR": ["liar.example.org."],
        "liar.example.org A": ["8.8.8.1"],
        "3.8.8.8.in-addr.arpa PTR": [r"evil\013\010name.example.org."],
        "4.8.8.8.in-addr.arpa": None,
    }
    with NameServer(records) as server:
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = int(server.place.rpartition(":")[2])
        names = ReverseNames(5, resolver)
        found = [
            await names.name_of(ipaddress.ip_address(address))
            for address in ("8.8.8.1", "8.8.8.2", "8.8.8.3", "127.0.0.1", "10.0.0.1")
        ]
        assert found == ["mail.example.org", "", "", "", ""]
        silent = ReverseNames(0.2, resolver)
        assert await silent.name_of(ipaddress.ip_address("8.8.8.4")) is None


@on_loop
async def test_nothing_from_a_peer_reaches_the_log_unescaped(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "spoolscan")
    async with receiving(spool) as receiver, connected(receiver) as peer:
        assert (await peer.reply()).startswith("220 ")
        await peer.say("EHLO \x85\x9b31m\u202e".encode())
        await peer.say("EHLO J\xfcrgen".encode())
        await peer.say(b"MAIL FROM:<>")
        await peer.say(b'RCPT TO:<"a b=c"@elsewhere.example>')
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("spool")]
    assert any("event=denied" in line for line in lines)
    assert all(line.isascii() and line.isprintable() for line in lines)
