"""One message in is one out, whatever stands in it and however it is cut: no smuggling.

Each false end of a message (those of SEC Consult's publication, and more) goes in by a receiver and
out by a forwarder, to the most gullible of servers: one that takes for an end whatever any server
was ever seen to take for one.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from builders import spool_in
from gateway import INSIDE, OUTSIDE, Gateway
from hypothesis import given
from hypothesis import strategies as st
from postfix_server import PostfixServer
from talk import ENVELOPE, HELLO, LENIENT, TERMS, talk

from spoolscan import config, envelope, log
from spoolscan.envelope import Envelope, Recipient
from spoolscan.forwarder.daemon import Forwarder
from spoolscan.notices import Templates
from spoolscan.receiver.events import DataStarts, Mail, NeedData, Rcpt, Terms
from spoolscan.receiver.rates import Rates
from spoolscan.receiver.reply import GO_AHEAD, RECIPIENT_OK, SENDER_OK
from spoolscan.receiver.server import Receiver
from spoolscan.receiver.session import Session
from spoolscan.share import folder
from spoolscan.spool import Spool

_BREAKS = [b"\r\n", b"\n", b"\r", b"\n\r", b"\r\r\n", b"\0\r\n", b"\r\n\0", b"\x0b", b"\x0c", b""]
_DOTS = [b".", b". ", b".\t", b".\0", b"\0.", b" .", b"..", b"\xae", b"\xef\xbc\x8e"]
_PAIRS = itertools.product(_BREAKS, _DOTS, _BREAKS)
# In 8-bit forms a server that strips the high bit, or decodes more than it should, sees CR LF.
_EIGHT_BIT = [
    *[b"\x85.\x85", b"\xc2\x85.\xc2\x85", b"\r\n.\x85", b"\x85.\r\n"],
    *[b"\x8d\x8a.\x8d\x8a", b"\x8d\x8a\xae\x8d\x8a", b"\r\n\xae\r\n", b"\r\n.\x8d\x8a"],
    *[b"\xe2\x80\xa8.\xe2\x80\xa8", b"\xe2\x80\xa9.\xe2\x80\xa9", b"\x1c.\x1c", b"\x1e.\x1e"],
    *[b"\xc0\x8d\xc0\x8a.\xc0\x8d\xc0\x8a", b"=0D=0A.=0D=0A", b"\r\n.\r\r\n", b"\xff\r\n.\n\xff"],
]
_KNOWN = itertools.product(_BREAKS[:7], [b"."], _BREAKS[:7])


def _false(ends: Iterable[bytes]) -> list[bytes]:
    return [end for end in ends if b"\r\n.\r\n" not in end]


KNOWN_ENDS = _false([*map(b"".join, _KNOWN), *_EIGHT_BIT])
FALSE_ENDS = _false([*map(b"".join, _PAIRS), *_EIGHT_BIT])
SMUGGLED = b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<boss@example.com>\r\nDATA\r\nevil\r\n.\r\n"
PLAIN = ("refuse", "normalise")


def letter(end: bytes) -> bytes:
    """What goes over the wire after 354, up to its true end."""
    return b"Subject: x\r\n\r\nhello" + end + SMUGGLED


def stray(data: bytes) -> bytes:
    """What is in it that no canonical message has."""
    rest = data.replace(b"\r\n", b"")
    return bytes(byte for byte in rest if byte in b"\r\n\0")


# -- in, however it is cut -------------------------------------------------------------------------


def window(body: bytes, end: bytes) -> Iterator[list[bytes]]:
    """Every way to cut it at one place in and around the false end, or at two; byte by byte."""
    first = body.find(b"hello") + 4
    places = range(first, first + len(end) + 6)
    for one in places:
        yield [body[:one], body[one:]]
    for one, two in itertools.combinations(places, 2) if end in KNOWN_ENDS else ():
        yield [body[:one], body[one:two], body[two:]]
    yield [body[place : place + 1] for place in range(len(body))]


@pytest.mark.parametrize("terms", [TERMS, LENIENT], ids=PLAIN)
def test_in_every_split_a_false_end_is_one_message_or_one_refusal(terms: Terms) -> None:
    for end in FALSE_ENDS:
        outcomes = set()
        for segments in window(letter(end), end):
            done = talk(HELLO, ENVELOPE, *segments, b"NOOP\r\n", terms=terms)
            assert len(done.envelopes) == 1, end
            assert len(done.messages) + len(done.refused) == 1, end
            assert done.codes[-1] == "250", end
            assert not stray(b"".join(done.messages)), end
            outcomes.add((tuple(done.messages), tuple(done.codes)))
        assert len(outcomes) == 1, end


# -- and out ---------------------------------------------------------------------------------------

_ANY_END = re.compile(rb"(?:\r\n|\r|\n)\.[\0\t ]?(?:\r\n|\r|\n)")


class Gullible(asyncio.Protocol):
    """A server for which a message ends at anything that looks like an end."""

    def __init__(self, messages: list[bytes], commands: list[bytes]) -> None:
        self.messages = messages
        self.commands = commands

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.buffer = b""
        self.in_data = False
        self.transport.write(b"220 gullible.test\r\n")

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while self.in_data or b"\n" in self.buffer:
            if self.in_data:
                found = _ANY_END.search(b"\r\n" + self.buffer)
                if found is None:
                    return
                self.messages.append(self.buffer[: max(0, found.start() - 2)])
                self.buffer = self.buffer[found.end() - 2 :]
                self.in_data = False
                self.transport.write(b"250 ok\r\n")
                continue
            line, _, self.buffer = self.buffer.partition(b"\n")
            self.commands.append(line.strip())
            self.in_data = line.strip().upper() == b"DATA"
            self.transport.write(b"354 go\r\n" if self.in_data else b"250 ok\r\n")


async def drop_in(receiver: Receiver, body: bytes) -> bytes:
    """Send it byte by byte, and give the last reply."""
    reader, writer = await asyncio.open_connection(*receiver.addresses[0])
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    said = [b"HELO x", b"MAIL FROM:<alice@example.net>", b"RCPT TO:<bob@example.com>", b"DATA"]
    for line in said:
        await reader.readline()
        writer.write(line + b"\r\n")
    assert (await reader.readline()).startswith(b"354 ")
    for place in range(len(body)):
        writer.write(body[place : place + 1])
        await asyncio.sleep(0)
    reply = await reader.readline()
    writer.write(b"QUIT\r\n")
    assert (await reader.readline()).startswith(b"221 ")
    assert await reader.read() == b""
    writer.close()
    return reply


@pytest.mark.parametrize("bare_lf", PLAIN)
def test_what_came_in_as_one_goes_out_as_one(tmp_path: Path, bare_lf: str) -> None:
    spool = spool_in(tmp_path)
    messages, commands = asyncio.run(_in_and_out(spool, tmp_path, bare_lf))
    assert len(messages) > 100
    assert sum(line.startswith(b"MAIL FROM:<alice@") for line in commands) == len(messages)
    assert not any(b"evil" in line or b"boss" in line for line in commands)
    assert not any(map(stray, messages))
    assert spool.entries("outgoing") == []


async def _in_and_out(spool: Spool, root: Path, bare_lf: str) -> tuple[list[bytes], list[bytes]]:
    """The messages that the gullible server was made to see, and the commands."""
    site = config.Site(hostname="gate.example.com", domains=("example.com",), networks=())
    settings = config.Receiver(listen=("127.0.0.1:0",), reverse_lookup=False)
    changes = {"bare_lf": bare_lf, "limits": Rates(*[None] * 7)}
    receiver = Receiver(site, settings.model_copy(update=changes), spool)
    await receiver.start()
    try:
        replies = [await drop_in(receiver, letter(end)) for end in FALSE_ENDS]
    finally:
        await receiver.stop(grace=60)
    assert {reply[:9] for reply in replies} == {b"250 2.0.0", b"554 5.6.0"}
    taken = spool.entries("incoming")
    assert len(taken) == sum(reply.startswith(b"250 ") for reply in replies)
    for entry in taken:  # as an administrator may
        os.rename(spool.path("incoming", entry.queue_id), spool.path("outgoing", entry.queue_id))

    messages: list[bytes] = []
    commands: list[bytes] = []
    hop = await asyncio.get_running_loop().create_server(
        lambda: Gullible(messages, commands), "127.0.0.1", 0
    )
    async with hop:
        url = f"smtp://127.0.0.1:{hop.sockets[0].getsockname()[1]}"
        outward = config.Config(root=root, site=site, forwarder=config.Forwarder(next_hop=url))
        await Forwarder(outward, spool, Templates([folder("etc") / "templates"])).run_once()
    assert len(messages) == len(taken)
    return messages, commands


@pytest.mark.real
def test_through_the_whole_gateway_a_postfix_gets_what_was_taken_and_nothing_else(
    tmp_path: Path,
) -> None:
    if reason := PostfixServer.absent():
        pytest.skip(reason)
    mailboxes = ("bob@example.com", "boss@example.com", "postmaster@example.com")
    with PostfixServer(mailboxes) as postfix, Gateway(tmp_path / "spool", postfix.url) as gateway:
        gateway.start()
        taken = 0
        for peer, end in itertools.product((OUTSIDE, INSIDE), KNOWN_ENDS):
            with gateway.connect(peer) as client:
                client.ehlo("mail.example.net")
                client.mail("alice@example.net")
                client.rcpt("bob@example.com")
                assert client.docmd("DATA")[0] == 354
                client.send(letter(end))
                code, text = client.getreply()
                assert code in (250, 554), text
                assert client.noop()[0] == 250
                taken += code == 250
        assert taken > 20
        postfix.wait_for("bob@example.com", count=taken)
        assert gateway.stop() == 0
        assert gateway.messages("incoming") == gateway.messages("outgoing") == []
        assert len(postfix.delivered("bob@example.com")) == taken
        assert postfix.delivered("boss@example.com") == []


# -- control characters ----------------------------------------------------------------------------

HOSTILE = st.binary(max_size=60) | st.lists(
    st.sampled_from(
        [
            *[
                b"\r",
                b"\n",
                b"\0",
                b"\x1b[2J",
                b"\x85",
                b"\xe2\x80\xae",
                b"<",
                b">",
                b'"',
                b"@",
                b" ",
            ],
            *[b"a", b"b.example", b"\\", b"BODY=8BITMIME", b"SIZE=1", b"\nRCPT <x@y>", b"\x7f"],
        ]
    ),
    max_size=12,
).map(b"".join)


@given(HOSTILE, HOSTILE, HOSTILE, st.booleans())
def test_nothing_a_peer_says_adds_a_line_to_an_envelope_a_log_or_a_reply(
    helo: bytes, sender: bytes, recipient: bytes, bare: bool
) -> None:
    session = Session(LENIENT if bare else TERMS)
    session.greet()
    started: DataStarts | None = None
    for line in (
        b"EHLO " + helo,
        b"MAIL FROM:<" + sender + b">",
        b"RCPT TO:<" + recipient + b">",
        b'RCPT TO:<"' + recipient + b'"@example.com>',
        b"DATA",
    ):
        session.receive_data(line + b"\r\n")
        while not isinstance(event := session.next_event(), NeedData):
            match event:
                case Mail():
                    session.answer(SENDER_OK)
                case Rcpt():
                    session.answer(RECIPIENT_OK)
                case DataStarts():
                    started = event
                    session.answer(GO_AHEAD)
                case _:
                    break
        for reply in session.take_output().split(b"\r\n"):
            assert all(0x20 <= byte <= 0x7E for byte in reply)
    for word in (session.helo, started.mail.sender.text if started else ""):
        assert log.quote(word).isascii()
        assert log.quote(word).isprintable()
        assert log.safe(word).isprintable()
    if started is None:
        return
    written = Envelope(
        started.mail.sender.text,
        tuple(Recipient(rcpt.recipient.text) for rcpt in started.recipients),
        helo=session.helo,
    )
    data = written.encode("20261121t053000z-d6m01v", 0)
    head = envelope.parse(data)
    assert head.envelope.sender == written.sender
    assert head.envelope.recipients == written.recipients
    assert head.envelope.helo == written.helo
    plain = Envelope("", (Recipient("x"),) * len(written.recipients), helo="x")
    lines = plain.encode("20261121t053000z-d6m01v", 0).count(b"\n")
    assert data.count(b"\n") == lines
    assert all(byte == 0x0A or 0x20 <= byte <= 0x7E for byte in data)
