"""The receiver as a peer sees it, over real sockets into a real spool."""

from __future__ import annotations

import asyncio
import ipaddress
import smtplib
import tracemalloc
from typing import Any

import pytest
from loopback import on_loop
from reception import MESSAGE, OWN, SETTINGS, connected, drafts, need, receiving, run, stored
from talk import chunk

from spoolscan.envelope import Recipient
from spoolscan.receiver import trace
from spoolscan.receiver.client import Client
from spoolscan.receiver.server import Receiver
from spoolscan.spool import Spool


async def deliver(receiver: Receiver, recipients: list[str], data: bytes = MESSAGE) -> Any:
    """Send by Python's smtplib; returns the recipients refused."""

    def work() -> Any:
        with smtplib.SMTP(*receiver.addresses[0], timeout=20) as client:
            return client.sendmail("alice@sender.example", recipients, data)

    return await asyncio.to_thread(work)


@on_loop
async def test_a_message_lies_in_incoming_byte_for_byte_under_our_received_field(
    spool: Spool,
) -> None:
    async with receiving(spool) as receiver:
        await deliver(receiver, ["bob@site.example"])
    ((envelope, received, body),) = stored(spool)
    assert body == MESSAGE
    assert envelope.sender == "alice@sender.example"
    assert envelope.recipients == (Recipient("bob@site.example"),)
    assert (envelope.peer_address, envelope.protocol) == ("127.0.0.1", "ESMTP")
    (entry,) = spool.entries("incoming")
    client = Client(ipaddress.ip_address("127.0.0.1"), helo=envelope.helo)
    assert received == trace.received(client, envelope, entry.queue_id, "gate.site.example")
    assert drafts(spool) == []


@on_loop
async def test_the_reply_names_the_queue_id(spool: Spool) -> None:
    async with receiving(spool) as receiver, connected(receiver) as peer:
        await peer.begin()
        reply = await peer.say(b"Subject: x\r\n\r\nx\r\n.")
        (entry,) = spool.entries("incoming")
        assert reply == f"250 2.0.0 queued as {entry.queue_id}"
        assert (await peer.say(b"QUIT")).startswith("221 ")


@on_loop
async def test_several_messages_go_over_one_connection(spool: Spool) -> None:
    async with receiving(spool) as receiver, connected(receiver) as peer:
        await peer.begin()
        group = b"MAIL FROM:<>\r\nRCPT TO:<x@site.example>\r\nDATA"
        assert (await peer.say(b"one\r\n.")).startswith("250 ")
        assert (await peer.say(group)).startswith("250 ")
        assert (await peer.reply()).startswith("250 ")
        assert (await peer.reply()).startswith("354 ")
        assert (await peer.say(b"two\r\n.")).startswith("250 ")
    assert [body for _, _, body in stored(spool)] == [b"one\r\n", b"two\r\n"]


@on_loop
async def test_outside_peers_may_send_to_the_site_only(spool: Spool) -> None:
    recipients = ["bob@site.example", "eve@elsewhere.example", "eve%elsewhere.example@site.example"]
    async with receiving(spool) as receiver:
        refused = await deliver(receiver, recipients)
    assert {address: reply[0] for address, reply in refused.items()} == dict.fromkeys(
        recipients[1:], 550
    )
    ((envelope, _, _),) = stored(spool)
    assert [recipient.address for recipient in envelope.recipients] == recipients[:1]


@on_loop
async def test_own_networks_may_send_to_anyone(spool: Spool) -> None:
    async with receiving(spool, OWN) as receiver:
        assert await deliver(receiver, ["eve@elsewhere.example"]) == {}


@on_loop
async def test_a_bare_lf_is_refused_from_outside_and_normalised_from_own_networks(
    spool: Spool,
) -> None:
    for settings, reply in ((SETTINGS, "554 5.6.0"), (OWN, "250 ")):
        async with receiving(spool, settings) as receiver, connected(receiver) as peer:
            await peer.begin()
            assert (await peer.say(b"a\nb\r\n.")).startswith(reply)
    assert [body for _, _, body in stored(spool)] == [b"a\r\nb\r\n"]
    assert drafts(spool) == []


@on_loop
async def test_memory_does_not_grow_with_the_message(spool: Spool) -> None:
    block = (b"x" * 76 + b"\r\n") * 800
    async with (
        receiving(spool, SETTINGS.but(max_size=50_000_000)) as receiver,
        connected(receiver) as peer,
    ):
        await peer.begin()
        tracemalloc.start()
        for _ in range(400):
            peer.writer.write(block)
            await peer.writer.drain()
        assert (await peer.say(b".")).startswith("250 ")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert len(block) * 400 > 20_000_000
    assert peak < 2_000_000


@on_loop
async def test_what_the_sender_asked_for_is_in_the_envelope(spool: Spool) -> None:
    async with receiving(spool) as receiver, connected(receiver) as peer:
        await peer.reply()
        await peer.say(b"EHLO client.example")
        line = b"MAIL FROM:<a@b.example> BODY=8BITMIME RET=HDRS ENVID=QQ+2B1 SMTPUTF8"
        assert (await peer.say(line)).startswith("250 ")
        line = "RCPT TO:<bøb@site.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+40x".encode()
        assert (await peer.say(line)).startswith("250 ")
        assert (await peer.say(b"RCPT TO:<carl@site.example> NOTIFY=NEVER")).startswith("250 ")
        peer.writer.write(chunk(b"Subject: x\r\n\r\n..\r\n") + chunk(b"end", last=True))
        assert (await peer.reply()).startswith("250 ")
        assert (await peer.reply()).startswith("250 2.0.0 queued as ")
    ((envelope, _, body),) = stored(spool)
    assert envelope.protocol == "UTF8SMTP"
    assert envelope.extras[:4] == (
        ("BTYP", "8BITMIME"),
        ("UTF8", "yes"),
        ("RETN", "HDRS"),
        ("ENVI", "QQ+2B1"),
    )
    assert envelope.recipients == (
        # Of success a stranger is not told: the report would go wherever he says.
        Recipient("bøb@site.example", extras=(("NTFY", "DELAY"), ("ORCP", "rfc822;b@x"))),
        Recipient("carl@site.example", extras=(("NTFY", "NEVER"),)),
    )
    assert body == b"Subject: x\r\n\r\n..\r\nend\r\n"


@pytest.mark.real
@on_loop
async def test_swaks_delivers_and_pipelines(spool: Spool) -> None:
    swaks = need("swaks")
    async with receiving(spool) as receiver:
        server = "{}:{}".format(*receiver.addresses[0])
        for options in ([], ["--pipeline"], ["--protocol", "SMTP"]):
            said = await run(
                *(swaks, "--server", server, "--from", "a@sender.example"),
                *("--to", "bob@site.example", "--body", "a line\n.\n..end", *options),
            )
            assert "queued as" in said
    found = stored(spool)
    assert [envelope.protocol for envelope, _, _ in found] == ["ESMTP", "ESMTP", "SMTP"]
    assert all(b"a line\r\n.\r\n..end\r\n" in body for _, _, body in found)


@pytest.mark.real
@on_loop
async def test_postfixs_smtp_source_delivers_by_many_sessions(spool: Spool) -> None:
    source = need("smtp-source")
    async with receiving(spool) as receiver:
        await run(
            *(source, "-s", "5", "-m", "100", "-l", "3000", "-f", "a@sender.example"),
            *("-t", "bob@site.example", "inet:{}:{}".format(*receiver.addresses[0])),
        )
    assert len(spool.entries("incoming")) == 100
    assert drafts(spool) == []
