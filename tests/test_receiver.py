"""The receiver as a peer sees it, over real sockets into a real spool.

Long, because all of it is one peer that says one thing after another to one receiver.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import ipaddress
import logging
import os
import re
import resource
import shutil
import smtplib
import socket
import stat
import subprocess
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ParamSpec

import dns.asyncresolver
import pytest
from name_server import NameServer

from spoolscan import aio, config, disk
from spoolscan.config import Site
from spoolscan.envelope import Envelope, Recipient
from spoolscan.errors import ConfigError, TemporaryFailure
from spoolscan.receiver import trace
from spoolscan.receiver.client import Client
from spoolscan.receiver.reverse import ReverseNames
from spoolscan.receiver.server import Receiver
from spoolscan.spool import STATES, Spool


@dataclass(frozen=True)
class Settings:
    """What a receiver is made with; loopback is an outside peer, unless a test says otherwise."""

    site: Site = Site(hostname="gate.site.example", domains=("site.example",), networks=())
    receiver: config.Receiver = config.Receiver(
        listen=("127.0.0.1:0",), max_size=300_000, reverse_lookup=False, probe_interval=0.0
    )

    def but(self, **changes: object) -> Settings:
        return replace(self, receiver=self.receiver.model_copy(update=changes))


SETTINGS = Settings()
OWN = Settings(SETTINGS.site.model_copy(update={"networks": ("127.0.0.0/8", "::1/128")}))
MESSAGE = b"Subject: hello\r\n\r\n.one dot\r\nend\r\n"


P = ParamSpec("P")


def on_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an asynchronous test in a loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    for name in (*STATES, "var"):
        (tmp_path / name).mkdir(mode=0o700)
    return Spool(tmp_path)


def stored(spool: Spool) -> list[tuple[Envelope, bytes, bytes]]:
    """What lies in incoming/: envelope, our Received field, and the bytes under it."""
    found = []
    for entry in spool.entries("incoming"):
        with spool.open("incoming", entry.queue_id) as message:
            text = message.read()
            field = re.match(rb"(?s:Received: .*?\r\n)(?![\t ])", text)
            assert field is not None
            found.append((message.envelope, field[0], text[field.end() :]))
    return found


def drafts(spool: Spool) -> list[str]:
    return os.listdir(spool.path("tmp"))


def make(settings: Settings, spool: Spool) -> Receiver:
    return Receiver(settings.site, settings.receiver, spool)


@asynccontextmanager
async def receiving(spool: Spool, settings: Settings = SETTINGS) -> AsyncIterator[Receiver]:
    receiver = make(settings, spool)
    await receiver.start()
    try:
        yield receiver
    finally:
        await receiver.stop(grace=5)


@dataclass
class Peer:
    """A client that says exactly what it is told to."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def reply(self) -> str:
        """The last line of the next reply; "" at the end of the connection."""
        while line := await self.reader.readline():
            if line[3:4] == b" ":
                return line.decode("ascii").rstrip("\r\n")
        return ""

    async def say(self, line: bytes) -> str:
        self.writer.write(line + b"\r\n")
        return await self.reply()

    async def begin(self) -> None:
        """From the banner up to 354."""
        assert (await self.reply()).startswith("220 ")
        assert (await self.say(b"EHLO client.example")).startswith("250 ")
        assert (await self.say(b"MAIL FROM:<a@b.example>")).startswith("250 ")
        assert (await self.say(b"RCPT TO:<bob@site.example>")).startswith("250 ")
        assert (await self.say(b"DATA")).startswith("354 ")


@asynccontextmanager
async def connected(receiver: Receiver) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection(*receiver.addresses[0])
    peer = Peer(reader, writer)
    try:
        yield peer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def deliver(receiver: Receiver, recipients: list[str], data: bytes = MESSAGE) -> Any:
    """Send by Python's smtplib; returns the recipients refused."""

    def work() -> Any:
        with smtplib.SMTP(*receiver.addresses[0], timeout=20) as client:
            return client.sendmail("alice@sender.example", recipients, data)

    return await asyncio.to_thread(work)


# -- mail ------------------------------------------------------------------------------------------


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


# -- what goes wrong -------------------------------------------------------------------------------


@on_loop
async def test_a_message_over_the_limit_leaves_nothing(spool: Spool) -> None:
    async with receiving(spool) as receiver, connected(receiver) as peer:
        await peer.begin()
        assert (await peer.say(b"x" * 400_000 + b"\r\n.")).startswith("552 5.3.4")
        assert drafts(spool) == []
        assert (await peer.say(b"NOOP")).startswith("250 ")
    assert stored(spool) == []


@on_loop
async def test_a_connection_cut_in_a_message_leaves_nothing(spool: Spool) -> None:
    async with receiving(spool) as receiver:
        for size in range(0, 200_000, 9_999):
            async with connected(receiver) as peer:
                await peer.begin()
                peer.writer.write(b"x" * size)
                await peer.writer.drain()
                if size % 2:
                    peer.writer.transport.abort()
    assert drafts(spool) == []
    assert stored(spool) == []


@on_loop
async def test_an_endless_line_is_answered_and_closed(spool: Spool) -> None:
    async with receiving(spool) as receiver, connected(receiver) as peer:
        peer.writer.write(b"x" * 200_000)
        assert (await peer.reply()).startswith("220 ")
        assert (await peer.reply()).startswith("500 5.5.2")
        assert await peer.reply() == ""


@on_loop
async def test_who_speaks_before_the_banner_is_cut_off(spool: Spool) -> None:
    async with receiving(spool) as receiver:
        # Blocking, so that the loop cannot accept before the bytes are there.
        with socket.create_connection(receiver.addresses[0]) as sock:
            sock.sendall(b"EHLO client.example\r\n")
            answer = await asyncio.to_thread(sock.makefile("rb").read)
    assert answer.startswith(b"554 5.5.1 ")
    assert answer.count(b"\r\n") == 1


@on_loop
async def test_a_silent_peer_is_sent_away(spool: Spool) -> None:
    settings = SETTINGS.but(command_timeout=0.2, data_timeout=0.2)
    async with receiving(spool, settings) as receiver:
        async with connected(receiver) as peer:
            assert (await peer.reply()).startswith("220 ")
            assert (await peer.reply()).startswith("421 4.4.2")
            assert await peer.reply() == ""
        async with connected(receiver) as peer:
            await peer.begin()
            assert (await peer.say(b"half")).startswith("421 4.4.2")
    assert drafts(spool) == []


def failing(number: int) -> Callable[..., Any]:
    def fail(*_: object) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("call", "number", "reply"),
    [
        ("open_new", errno.ENOSPC, "452 4.3.1"),
        ("write", errno.EDQUOT, "452 4.3.1"),
        ("open_new", errno.EACCES, "451 4.3.0"),
        ("write", errno.EIO, "451 4.3.0"),
        ("open_new", errno.EMFILE, "421 4.3.2"),
    ],
)
def test_a_spool_that_takes_no_draft_puts_mail_off(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, call: str, number: int, reply: str
) -> None:
    @on_loop
    async def story() -> None:
        async with receiving(spool) as receiver, connected(receiver) as peer:
            assert (await peer.reply()).startswith("220 ")
            await peer.say(b"EHLO x")
            await peer.say(b"MAIL FROM:<>")
            await peer.say(b"RCPT TO:<bob@site.example>")
            assert (await peer.say(b"DATA")).startswith("354 ")
            with monkeypatch.context() as patch:
                patch.setattr(disk, call, failing(number))
                assert (await peer.say(b".")).startswith(reply)
            after = await peer.say(b"NOOP") if not reply.startswith("421") else await peer.reply()
            assert after == ("" if reply.startswith("421") else "250 2.0.0 ok")
        assert drafts(spool) == []

    story()


@pytest.fixture
def syncs_by_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what waits for the disk can be replaced; the kernel's own way is test_syncer's."""
    monkeypatch.setattr(aio, "_NUMBERS", {})


@pytest.mark.parametrize(
    "failure",
    [
        ("write", errno.ENOSPC, "452 4.3.1"),
        ("fsync", errno.ENOSPC, "452 4.3.1"),
        ("fsync", errno.EIO, "451 4.3.0"),
        ("rename_new", errno.EEXIST, "451 4.3.0"),
        ("open_directory", errno.EIO, "451 4.3.0"),
    ],
)
@pytest.mark.parametrize("size", [100, 250_000])
@pytest.mark.usefixtures("syncs_by_threads")
def test_a_message_that_cannot_be_stored_is_not_acknowledged(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, failure: tuple[str, int, str], size: int
) -> None:
    call, number, reply = failure

    @on_loop
    async def story() -> None:
        async with receiving(spool) as receiver, connected(receiver) as peer:
            await peer.begin()
            with monkeypatch.context() as patch:
                patch.setattr(disk, call, failing(number))
                assert (await peer.say(b"x" * size + b"\r\n.")).startswith(reply)
            assert drafts(spool) == []
            assert (await peer.say(b"MAIL FROM:<>")).startswith("250 ")

    story()


@pytest.mark.usefixtures("syncs_by_threads")
@on_loop
async def test_what_nobody_foresaw_is_temporary(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(disk, "fsync", fail)
    async with receiving(spool) as receiver, connected(receiver) as peer:
        await peer.begin()
        assert (await peer.say(b"x\r\n.")).startswith("451 4.3.0")
    assert stored(spool) == []
    assert drafts(spool) == []


@pytest.mark.usefixtures("syncs_by_threads")
@on_loop
async def test_after_eio_no_mail_is_taken_until_a_probe_passes(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving(spool) as receiver, connected(receiver) as peer:
        await peer.begin()
        with monkeypatch.context() as patch:
            patch.setattr(disk, "fsync", failing(errno.EIO))
            assert (await peer.say(b"x\r\n.")).startswith("451 4.3.0")
            for _ in range(2):
                assert (await peer.say(b"MAIL FROM:<>")).startswith("451 4.3.0")
        assert (await peer.say(b"MAIL FROM:<>")).startswith("250 ")
    assert drafts(spool) == []


@pytest.mark.usefixtures("syncs_by_threads")
@pytest.mark.parametrize("waits", ["file", "directory"])
@on_loop
async def test_250_is_not_said_before_the_message_is_on_the_disk(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, waits: str
) -> None:
    syncing, release = threading.Event(), threading.Event()
    real = disk.fsync

    def slow(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) is (waits == "directory"):
            syncing.set()
            release.wait(20)
        real(descriptor)

    monkeypatch.setattr(disk, "fsync", slow)
    async with receiving(spool) as receiver, connected(receiver) as peer:
        await peer.begin()
        reply = asyncio.create_task(peer.say(b"x\r\n."))
        assert await asyncio.to_thread(syncing.wait, 20)
        async with connected(receiver) as other:  # the loop is free meanwhile
            assert (await other.reply()).startswith("220 ")
        assert not reply.done()
        release.set()
        assert (await reply).startswith("250 2.0.0 queued as ")


# -- limits ----------------------------------------------------------------------------------------


@on_loop
async def test_connections_are_limited_in_all(spool: Spool) -> None:
    async with receiving(spool, OWN.but(connections=2)) as receiver:
        async with connected(receiver) as one, connected(receiver) as two:
            assert (await one.reply()).startswith("220 ")
            assert (await two.reply()).startswith("220 ")
            async with connected(receiver) as three:
                assert (await three.reply()).startswith("421 4.7.0")
                assert await three.reply() == ""
        answer = ""
        while not answer.startswith("220 "):  # as soon as the server saw them go
            async with connected(receiver) as four:
                answer = await four.reply()


@on_loop
async def test_connections_are_limited_by_address_but_not_within_own_networks(
    spool: Spool,
) -> None:
    for settings, answer in ((SETTINGS, "421 4.7.0"), (OWN, "220 ")):
        limited = settings.but(connections_per_address=1)
        async with receiving(spool, limited) as receiver, connected(receiver) as one:
            assert (await one.reply()).startswith("220 ")
            async with connected(receiver) as two:
                assert (await two.reply()).startswith(answer)


@on_loop
async def test_without_file_descriptors_peers_are_told_so(spool: Spool) -> None:
    async with receiving(spool) as receiver:
        socks = [socket.socket() for _ in range(3)]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
            for sock in socks:
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_connect(sock, receiver.addresses[0])
                answer = await asyncio.get_running_loop().sock_recv(sock, 1000)
                assert answer.startswith(b"421 4.3.2 ")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for sock in socks:
                sock.close()
        async with connected(receiver) as peer:
            assert (await peer.reply()).startswith("220 ")


# -- starting and stopping -------------------------------------------------------------------------


@on_loop
async def test_it_listens_on_several_addresses(spool: Spool) -> None:
    listen = ("127.0.0.1:0", "127.0.0.2:0")
    async with receiving(spool, OWN.but(listen=listen)) as receiver:
        assert [address for address, _ in receiver.addresses] == ["127.0.0.1", "127.0.0.2"]
        for address in receiver.addresses:
            _, writer = await asyncio.open_connection(*address)
            writer.close()
            await writer.wait_closed()


@on_loop
async def test_a_reload_keeps_listening_and_serves_new_peers_by_the_new_settings(
    spool: Spool,
) -> None:
    async with receiving(spool) as receiver, connected(receiver) as before:
        assert (await before.reply()).startswith("220 gate.site.example")
        addresses = receiver.addresses
        changed = SETTINGS.but(banner="{hostname} again", listen=("127.0.0.1:0", "127.0.0.2:0"))
        receiver.reload(changed.site, changed.receiver)
        assert receiver.addresses[0] == addresses[0]
        assert [address for address, _ in receiver.addresses] == ["127.0.0.1", "127.0.0.2"]
        async with connected(receiver) as after:
            assert await after.reply() == "220 gate.site.example again"
        assert (await before.say(b"EHLO client.example")).startswith("250 ")
        impossible = SETTINGS.but(listen=("192.0.2.1:2525",))
        with pytest.raises(ConfigError):
            receiver.reload(impossible.site, impossible.receiver)
        async with connected(receiver) as still:
            assert await still.reply() == "220 gate.site.example again"


@on_loop
async def test_an_address_that_cannot_be_listened_on_is_named(spool: Spool) -> None:
    async with receiving(spool) as receiver:
        taken = receiver.addresses[0]
        with pytest.raises(TemporaryFailure, match=f"listening on 127.0.0.1:{taken[1]}"):
            await make(SETTINGS.but(listen=(f"127.0.0.1:{taken[1]}",)), spool).start()
    elsewhere = ("127.0.0.1:0", "192.0.2.1:2525")
    with pytest.raises(ConfigError, match=r"listening on 192\.0\.2\.1:2525"):
        await make(SETTINGS.but(listen=elsewhere), spool).start()


@on_loop
async def test_a_stop_sends_waiting_peers_away_and_lets_a_message_end(spool: Spool) -> None:
    async with (
        receiving(spool) as receiver,
        connected(receiver) as idle,
        connected(receiver) as busy,
    ):
        assert (await idle.reply()).startswith("220 ")
        await busy.begin()
        stopping = asyncio.create_task(receiver.stop(grace=30))
        assert (await idle.reply()).startswith("421 4.3.2")
        assert await idle.reply() == ""
        assert (await busy.say(b"last words\r\n.")).startswith("250 2.0.0 queued as ")
        assert (await busy.reply()).startswith("421 4.3.2")
        assert await busy.reply() == ""
        await stopping
    assert [body for _, _, body in stored(spool)] == [b"last words\r\n"]


@on_loop
async def test_a_stop_waits_no_longer_than_its_grace(spool: Spool) -> None:
    async with receiving(spool) as receiver, connected(receiver) as busy:
        await busy.begin()
        await receiver.stop(grace=0.1)
        assert await busy.reply() == ""
    assert drafts(spool) == []
    assert stored(spool) == []


@on_loop
async def test_a_cancelled_connection_leaves_no_draft(spool: Spool) -> None:
    async with receiving(spool) as receiver, connected(receiver) as peer:
        await peer.begin()
        peer.writer.write(b"x" * 100_000)
        await peer.writer.drain()
        async with asyncio.timeout(60):
            while not drafts(spool):
                await asyncio.sleep(0.001)
        for task in asyncio.all_tasks():
            if "Connection.serve" in repr(task.get_coro()):
                task.cancel()
        with suppress(ConnectionResetError):  # where not all was read
            assert await peer.reply() == ""
    assert drafts(spool) == []


# -- the Received field, names, log ----------------------------------------------------------------


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


# -- real clients ----------------------------------------------------------------------------------


def need(program: str) -> str:
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if path is None:
        pytest.skip(f"{program} is not installed: the receiver was not tried with it")
    return path


async def run(*argv: str) -> str:
    done = await asyncio.to_thread(
        subprocess.run, argv, check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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
