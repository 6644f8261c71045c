"""Who speaks for others: a load balancer by its header, a mail server by XCLIENT and XFORWARD."""

from __future__ import annotations

import asyncio
import ipaddress
import smtplib
import socket
from contextlib import suppress

import pytest
from loopback import on_loop, until
from postfix_server import PostfixServer
from reception import (
    HOST,
    MESSAGE,
    OWN,
    SECURE,
    SETTINGS,
    certify,
    client_context,
    connected,
    receiving,
    stored,
)
from talk import ENVELOPE, HELLO, PATHS, PROXY, chunk, talk

from spoolscan.config import TLS
from spoolscan.receiver.attributes import NOTHING, Attributes
from spoolscan.receiver.proxyheader import BadHeader, read_header, wanted
from spoolscan.spool import Spool

# -- load balancers --------------------------------------------------------------------------------

BALANCED = OWN.but(proxy_from=("127.0.0.1/32",))
_V2 = b"\r\n\r\n\0\r\nQUIT\n"
V4 = bytes([192, 0, 2, 9, 127, 0, 0, 1, 0, 99, 0, 25])
V6 = ipaddress.ip_address("2001:db8::9").packed + ipaddress.ip_address("::1").packed + b"\0c\0\x19"
HEADERS = [
    (b"PROXY TCP4 192.0.2.9 127.0.0.1 99 25\r\n", "192.0.2.9"),
    (b"PROXY TCP6 2001:db8::9 ::1 99 25\r\n", "2001:db8::9"),
    (b"PROXY TCP6 ::ffff:192.0.2.9 ::1 99 25\r\n", "192.0.2.9"),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN whatever it is\r\n", None),
    (_V2 + b"\x21\x11\0\x0c" + V4, "192.0.2.9"),
    (_V2 + b"\x21\x11\0\x0f" + V4 + b"\x04\0\0", "192.0.2.9"),
    (_V2 + b"\x21\x21\0\x24" + V6, "2001:db8::9"),
    (_V2 + b"\x20\0\0\0", None),
    (_V2 + b"\x21\x31\0\0", None),
]
NO_HEADERS = [
    b"EHLO client.example\r\n",
    b"\x16\x03\x01\0\0\0\0\0\0\0\0\0",
    b"PROXY TCP4 192.0.2.9 127.0.0.1 99 25 \r\n",
    b"PROXY TCP4 2001:db8::9 ::1 99 25\r\n",
    b"PROXY TCP5 192.0.2.9 127.0.0.1 99 25\r\n",
    b"PROXY TCP4 192.0.2.256 127.0.0.1 99 25\r\n",
    b"PROXY " + b"x" * 200,
    b"PROXY UNKNOWNX\r\n",
    _V2 + b"\x11\x11\0\x0c" + V4,
    _V2 + b"\x22\x11\0\x0c" + V4,
    _V2 + b"\x21\x11\0\x04" + V4[:4],
    _V2 + b"\x21\x11\xff\xff",
]


def taken(stream: bytes) -> bytes:
    """What is read of a stream as the header."""
    header = b""
    while count := wanted(header):
        assert len(header) + count <= len(stream)
        header += stream[len(header) : len(header) + count]
    return header


@pytest.mark.parametrize(("header", "address"), HEADERS)
def test_a_proxy_header_names_the_peer_and_takes_nothing_else(
    header: bytes, address: str | None
) -> None:
    assert taken(header + b"EHLO x\r\n") == header
    assert read_header(header) == (ipaddress.ip_address(address) if address else None)


@pytest.mark.parametrize("stream", NO_HEADERS)
def test_what_is_no_proxy_header_is_refused(stream: bytes) -> None:
    with pytest.raises(BadHeader):
        read_header(taken(stream))


@on_loop
async def test_behind_a_load_balancer_the_peer_is_who_it_says(spool: Spool) -> None:
    async with receiving(spool, BALANCED) as receiver:
        for header, _ in HEADERS[:4]:
            async with connected(receiver) as peer:
                peer.writer.write(header)
                assert (await peer.reply()).startswith("220 ")
                await peer.say(b"EHLO client.example")
                await peer.say(b"MAIL FROM:<>")
                # Its own address is of our networks, but not whom it speaks for.
                assert (await peer.say(b"RCPT TO:<eve@elsewhere.example>")).startswith("550 ")
                assert (await peer.say(b"RCPT TO:<bob@site.example>")).startswith("250 ")
                await peer.say(b"DATA")
                assert (await peer.say(b"x\r\n.")).startswith("250 ")
        async with connected(receiver) as peer:
            peer.writer.write(b"PROXY TCP4 127.0.0.9 127.0.0.1 99 25\r\n")
            await peer.reply()
            await peer.say(b"EHLO client.example")
            await peer.say(b"MAIL FROM:<>")
            assert (await peer.say(b"RCPT TO:<eve@elsewhere.example>")).startswith("250 ")
    found = [(envelope.peer_address, received) for envelope, received, _ in stored(spool)]
    assert [address for address, _ in found] == ["192.0.2.9", "2001:db8::9", "192.0.2.9", ""]
    assert b"[192.0.2.9]" in found[0][1]


@on_loop
async def test_who_does_not_begin_with_the_header_hears_nothing(spool: Spool) -> None:
    async with receiving(spool, BALANCED) as receiver:
        for stream in NO_HEADERS[:3]:
            async with connected(receiver) as peer:
                peer.writer.write(stream)
                peer.writer.write_eof()
                with suppress(ConnectionResetError):
                    assert await peer.reader.read() == b""


@on_loop
async def test_limits_count_whom_the_load_balancer_speaks_for(spool: Spool) -> None:
    async with (
        receiving(spool, BALANCED.but(connections_per_address=1)) as receiver,
        connected(receiver) as one,
        connected(receiver) as two,
        connected(receiver) as three,
    ):
        for peer, header, answer in ((one, 0, "220 "), (two, 0, "421 4.7.0"), (three, 1, "220 ")):
            peer.writer.write(HEADERS[header][0])
            assert (await peer.reply()).startswith(answer)


@on_loop
async def test_tls_begins_behind_the_header(spool: Spool) -> None:
    certify(spool)
    settings = BALANCED.but(tls=TLS(certificate="gate.pem"), listen_tls=("127.0.0.1:0",))

    def work(address: tuple[str, int]) -> str:
        with socket.create_connection(address, 20) as sock:
            sock.sendall(HEADERS[0][0])
            with client_context().wrap_socket(sock, server_hostname=HOST) as secure:
                return secure.recv(4).decode()

    async with receiving(spool, settings) as receiver:
        assert await asyncio.to_thread(work, receiver.addresses[1]) == "220 "


# -- a mail server before us, without a socket -----------------------------------------------------


def test_xclient_begins_anew_with_somebody_else() -> None:
    line = b"XCLIENT ADDR=IPV6:2001:db8::1 NAME=Spike.Example HELO=x+2By LOGIN=alice PORT=25\r\n"
    done = talk(HELLO, line, b"MAIL FROM:<>\r\n", HELLO, terms=PROXY)
    assert done.codes == ["250", "220", "503", "250"]
    assert done.session.peer == Attributes("spike.example", "2001:db8::1", "x+y", "alice")
    assert done.session.user == "alice"
    assert done.session.helo == "x+y"


def test_what_is_not_there_is_said_to_be_not_there() -> None:
    line = b"XCLIENT NAME=[TEMPUNAVAIL] ADDR=[unavailable]\r\n"
    assert talk(HELLO, line, terms=PROXY).session.peer == Attributes("", "")


def test_xforward_is_for_one_message() -> None:
    lines = [b"XFORWARD NAME=[UNAVAILABLE] ADDR=192.0.2.1\r\n", b"XFORWARD HELO=h IDENT=1A PROTO=X"]
    done = talk(HELLO, lines[0] + lines[1] + b"\r\n" + PATHS + chunk(b"x", last=True) + ENVELOPE,
                terms=PROXY)  # fmt: skip
    first, second = done.envelopes
    assert first.origin == Attributes("", "192.0.2.1", "h")
    assert second.origin == NOTHING


@pytest.mark.parametrize("verb", [b"XCLIENT", b"XFORWARD"])
@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"ADDR",
        b"ADDR=",
        b"ADDR=1.2.3",
        b"ADDR=1.2.3.4%eth0",
        b"ADDR=fe80::1%eth0",
        b"NAME=a+0D+0Ab",
        b"NAME=a_\xc3\xa4",
        b"NAME=" + b"a" * 256,
        b"HELO=a+0Ab",
        b"HELO=a+1b",
        b"PORT=x",
        b"PORT=123456",
        b"COLOUR=red",
    ],
)
def test_malformed_attributes_are_refused(verb: bytes, words: bytes) -> None:
    done = talk(HELLO, verb + b" " + words + b"\r\n", terms=PROXY)
    assert done.codes[-1] == "501"
    assert done.session.peer == done.session.origin == NOTHING


def test_who_is_not_named_may_not_speak_for_others() -> None:
    for line in (b"XCLIENT ADDR=127.0.0.1\r\n", b"XFORWARD ADDR=127.0.0.1\r\n"):
        assert talk(HELLO, line).codes[-1] == "502"
    for line in (b"XCLIENT ADDR=127.0.0.1\r\n", b"XFORWARD ADDR=127.0.0.1\r\n"):
        assert talk(HELLO, PATHS, line, terms=PROXY).codes[-1] == "503"


# -- a mail server before us, over a socket --------------------------------------------------------

BEHIND = OWN.but(xclient_from=("127.0.0.1/32",))


@on_loop
async def test_xclient_takes_the_trust_away_that_its_peer_has(spool: Spool) -> None:
    async with receiving(spool, BEHIND) as receiver, connected(receiver) as peer:
        await peer.reply()
        await peer.say(b"EHLO front.example")
        line = b"XCLIENT ADDR=192.0.2.9 NAME=Spam.Example HELO=evil"
        assert (await peer.say(line)).startswith("220 ")
        await peer.say(b"EHLO evil")
        await peer.say(b"MAIL FROM:<>")
        assert (await peer.say(b"RCPT TO:<eve@elsewhere.example>")).startswith("550 ")
        await peer.say(b"RCPT TO:<bob@site.example>")
        await peer.say(b"DATA")
        assert (await peer.say(b"a\nb\r\n.")).startswith("554 5.6.0"), "a bare LF from outside"
        await peer.say(b"MAIL FROM:<>")
        await peer.say(b"RCPT TO:<bob@site.example>")
        await peer.say(b"DATA")
        assert (await peer.say(b"x\r\n.")).startswith("250 ")
        assert (await peer.say(b"XCLIENT ADDR=[UNAVAILABLE] LOGIN=alice")).startswith("220 ")
        await peer.say(b"EHLO inside")
        await peer.say(b"MAIL FROM:<>")
        assert (await peer.say(b"RCPT TO:<eve@elsewhere.example>")).startswith("250 ")
    ((envelope, received, _),) = stored(spool)
    assert (envelope.peer_address, envelope.peer_name) == ("192.0.2.9", "spam.example")
    assert received.startswith(b"Received: from evil (spam.example [192.0.2.9])")


@on_loop
async def test_only_named_peers_may_say_who_they_speak_for(spool: Spool) -> None:
    for settings in (OWN, OWN.but(xclient_from=("127.0.0.2/32",))):
        async with receiving(spool, settings) as receiver, connected(receiver) as peer:
            await peer.reply()
            await peer.say(b"EHLO front.example")
            assert (await peer.say(b"XCLIENT ADDR=192.0.2.9")).startswith("502 ")
            assert (await peer.say(b"XFORWARD ADDR=192.0.2.9")).startswith("502 ")


@on_loop
async def test_xforward_is_written_down_and_grants_nothing(spool: Spool) -> None:
    settings = SETTINGS.but(xclient_from=("127.0.0.1/32",))
    async with receiving(spool, settings) as receiver, connected(receiver) as peer:
        await peer.reply()
        await peer.say(b"EHLO front.example")
        line = b"XFORWARD NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::9 HELO=evil PROTO=ESMTP"
        assert (await peer.say(line)).startswith("250 ")
        await peer.say(b"MAIL FROM:<>")
        assert (await peer.say(b"RCPT TO:<eve@elsewhere.example>")).startswith("550 ")
        await peer.say(b"RCPT TO:<bob@site.example>")
        await peer.say(b"DATA")
        assert (await peer.say(b"x\r\n.")).startswith("250 ")
    ((envelope, received, _),) = stored(spool)
    assert (envelope.peer_address, envelope.peer_name) == ("2001:db8::9", "")
    assert envelope.helo == "evil"
    assert received.startswith(b"Received: from front.example ([127.0.0.1])")


@pytest.mark.real
@on_loop
async def test_postfix_hands_on_who_sent_it_and_speaks_tls(spool: Spool) -> None:
    if reason := PostfixServer.absent():
        pytest.skip(reason)
    certify(spool)
    settings = SECURE.but(xclient_from=("127.0.0.1/32",))

    def work(port: int) -> None:
        front = PostfixServer(["x@inside.example.com"], outside=port)
        with (front.root / "etc" / "main.cf").open("a") as file:
            file.write("smtp_send_xforward_command = yes\nsmtp_tls_security_level = may\n")
        with (front.root / "etc" / "master.cf").open("a") as file:
            file.write("tlsmgr unix - - n 1000? 1 tlsmgr\n")
        with front:
            with smtplib.SMTP("127.0.0.1", front.port, timeout=60) as client:
                client.ehlo("origin.example")
                client.sendmail("a@b.example", ["bob@site.example"], MESSAGE)
            until(lambda: spool.entries("incoming"), "Postfix hands it on", tell=front.log)

    async with receiving(spool, settings) as receiver:
        await asyncio.to_thread(work, receiver.addresses[0][1])
    ((envelope, received, _),) = stored(spool)
    assert envelope.helo == "origin.example"
    assert envelope.protocol == "ESMTPS"
    assert b"Received: from inside.example.com" in received
