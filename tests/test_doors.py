"""Every door of the receiver as who comes through it sees it: TLS, submission, LMTP, a load
balancer or a mail server before us, systemd, inetd.

Long, because each door needs a peer of its own.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import smtplib
import socket
import ssl
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import certificates
import pytest
from gateway import Gateway
from loopback import answers, on_loop, until
from postfix_server import PostfixServer
from reception import (
    HOST,
    MESSAGE,
    OWN,
    SECURE,
    SETTINGS,
    Peer,
    certify,
    client_context,
    connected,
    drafts,
    make,
    need,
    receiving,
    run,
    stored,
)
from smuggled import INJECTED
from talk import PATHS, chunk

from spoolscan.config import TLS, Auth
from spoolscan.envelope import Recipient
from spoolscan.errors import ConfigError
from spoolscan.receiver.proxyheader import BadHeader, read_header, wanted
from spoolscan.spool import Spool
from spoolscan.units import Rate
from spoolscan.users import Hashed, Users

# -- TLS -------------------------------------------------------------------------------------------


@on_loop
async def test_mail_comes_by_starttls_and_by_tls_from_the_first_byte(spool: Spool) -> None:
    certify(spool)
    async with receiving(spool, SECURE) as receiver:
        plain, secure = receiver.addresses

        def by_starttls() -> None:
            with smtplib.SMTP(*plain, timeout=20) as client:
                client.starttls(context=client_context())
                client.ehlo("client.example")
                assert not client.has_extn("starttls")
                client.sendmail("a@b.example", ["bob@site.example"], MESSAGE)

        def by_tls() -> None:
            with smtplib.SMTP_SSL(*secure, timeout=20, context=client_context()) as client:
                client.sendmail("a@b.example", ["bob@site.example"], MESSAGE)
                client.sendmail("a@b.example", ["bob@site.example"], b"x" * 200_000)

        await asyncio.to_thread(by_starttls)
        await asyncio.to_thread(by_tls)
    for envelope, received, _ in stored(spool):
        assert envelope.protocol == "ESMTPS"
        version, cipher = dict(envelope.extras)["CIPH"].split(" ")
        assert version == "TLSv1.3"
        assert f"(using {version} with cipher {cipher})".encode() in received
    assert [body for _, _, body in stored(spool)] == [MESSAGE] * 2 + [b"x" * 200_000 + b"\r\n"]


@pytest.mark.parametrize("injected", INJECTED)
def test_what_is_said_in_the_clear_behind_starttls_ends_the_connection(
    spool: Spool, injected: bytes
) -> None:
    certify(spool)

    @on_loop
    async def story() -> None:
        async with receiving(spool, SECURE) as receiver:
            for pause in (False, True):
                async with connected(receiver) as peer:
                    assert (await peer.reply()).startswith("220 ")
                    await peer.say(b"EHLO client.example")
                    peer.writer.write(b"STARTTLS\r\n" + (b"" if pause else injected))
                    if pause:  # behind our answer, where a handshake has to come
                        assert (await peer.reply()).startswith("220 ")
                        peer.writer.write(injected)
                    else:
                        assert (await peer.reply()).startswith("554 ")
                    # Without the end of a record TLS waits for more.
                    peer.writer.write_eof()
                    rest = await peer.reader.read()
                    assert b"250" not in rest
                    assert b"354" not in rest

    story()
    assert stored(spool) == []
    assert drafts(spool) == []


@on_loop
async def test_a_handshake_behind_injected_commands_is_not_made(spool: Spool) -> None:
    certify(spool)
    async with receiving(spool, SECURE) as receiver, connected(receiver) as peer:
        await peer.reply()
        await peer.say(b"EHLO client.example")
        peer.writer.write(b"STARTTLS\r\nRSET\r\n")
        await peer.reply()
        with pytest.raises((ssl.SSLError, OSError)):
            await peer.writer.start_tls(client_context(), server_hostname=HOST)


@on_loop
async def test_who_makes_no_handshake_keeps_nobody_else_out(spool: Spool) -> None:
    certify(spool)
    async with receiving(spool, SECURE) as receiver:
        reader, writer = await asyncio.open_connection(*receiver.addresses[1])
        writer.write(b"EHLO client.example\r\n")
        assert b"250" not in await reader.read()
        writer.close()
        async with connected(receiver) as peer:
            assert (await peer.reply()).startswith("220 ")


@on_loop
async def test_a_renewed_certificate_is_shown_and_a_spoiled_one_is_not(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "spoolscan")
    file = Path(spool.root) / "gate.pem"

    def shown(address: tuple[str, int]) -> bytes:
        with socket.create_connection(address, 20) as sock:
            context = client_context()
            with context.wrap_socket(sock, server_hostname=HOST) as secure:
                secure.recv(3)
                return secure.getpeercert(binary_form=True) or b""

    first = certify(spool)
    async with receiving(spool, SECURE) as receiver:
        address = receiver.addresses[1]
        assert await asyncio.to_thread(shown, address) == first
        second = certify(spool)
        assert await asyncio.to_thread(shown, address) == second != first
        file.write_text("nonsense")
        assert await asyncio.to_thread(shown, address) == second
        with pytest.raises(ConfigError, match=r"gate\.pem"):
            receiver.reload(SECURE.site, SECURE.receiver)
        assert await asyncio.to_thread(shown, address) == second
        file.rename(file.with_name("other.pem"))
        assert await asyncio.to_thread(shown, address) == second
        third = certify(spool)
        receiver.reload(SECURE.site, SECURE.receiver)
        assert await asyncio.to_thread(shown, address) == third
    lines = [record.getMessage() for record in caplog.records]
    assert sum("event=certificate reason=" in line for line in lines) == 2
    assert sum("event=certificate file=" in line for line in lines) >= 1


@on_loop
async def test_a_certificate_that_cannot_be_used_is_named(spool: Spool) -> None:
    with pytest.raises(ConfigError, match=r"gate\.pem.*No such file"):
        make(SECURE, spool)
    certify(spool)
    ciphers = SECURE.but(tls=TLS(certificate="gate.pem", ciphers="NONSENSE"))
    with pytest.raises(ConfigError, match="ciphers"):
        make(ciphers, spool)


@on_loop
async def test_a_stop_does_not_wait_for_a_handshake_that_nobody_makes(spool: Spool) -> None:
    certify(spool)
    receiver = make(SECURE, spool)
    await receiver.start()
    with socket.create_connection(receiver.addresses[1], 60) as peer:
        async with asyncio.timeout(60):
            while not any(one._sock for one in receiver._connections.values()):
                await asyncio.sleep(0)
        async with asyncio.timeout(20):  # a handshake has 30 seconds
            await receiver.stop(3600)
        assert await asyncio.to_thread(peer.recv, 1) == b""


@on_loop
async def test_an_old_version_of_tls_is_refused(spool: Spool) -> None:
    certify(spool)
    settings = SECURE.but(tls=TLS(certificate="gate.pem", minimum_version="TLSv1.3"))
    context = client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def work(address: tuple[str, int]) -> None:
        with smtplib.SMTP_SSL(*address, timeout=20, context=context):
            pass

    async with receiving(spool, settings) as receiver:
        with pytest.raises((ssl.SSLError, OSError)):
            await asyncio.to_thread(work, receiver.addresses[1])


@pytest.mark.real
@on_loop
async def test_openssl_makes_the_handshake_and_talks(spool: Spool) -> None:
    openssl = need("openssl")
    certify(spool)
    ca = certificates.trusted(Path(spool.root))
    async with receiving(spool, SECURE) as receiver:
        for place, options in zip(receiver.addresses, (["-starttls", "smtp"], []), strict=True):
            done = await asyncio.to_thread(
                subprocess.run,
                [
                    *(openssl, "s_client", "-connect", "{}:{}".format(*place), "-quiet"),
                    *("-verify_return_error", "-CAfile", ca, "-ign_eof"),
                    *options,
                ],
                input=b"QUIT\r\n",
                check=False,
                capture_output=True,
                timeout=60,
            )
            assert b"221 2.0.0" in done.stdout, done.stderr


# -- submission ------------------------------------------------------------------------------------

SUBMISSION = SECURE.but(auth=Auth(enabled=True, delay=0.0, failures=Rate(2, 600.0)))


def enlist(spool: Spool) -> None:
    folder = Path(spool.root) / "etc"
    folder.mkdir()
    Users(folder / "users").change("alice", Hashed.of("secret"))


@on_loop
async def test_who_logs_in_may_send_to_anywhere(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "spoolscan")
    certify(spool)
    enlist(spool)

    def work(address: tuple[str, int], mechanism: str) -> None:
        with smtplib.SMTP_SSL(*address, timeout=20, context=client_context()) as client:
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                client.sendmail("alice@site.example", ["eve@elsewhere.example"], MESSAGE)
            client.user, client.password = "alice", "secret"
            method = getattr(client, f"auth_{mechanism}")
            assert client.auth(mechanism, method)[0] == 235
            client.sendmail("alice@site.example", ["eve@elsewhere.example"], MESSAGE)

    async with receiving(spool, SUBMISSION) as receiver:
        for mechanism in ("plain", "login"):
            await asyncio.to_thread(work, receiver.addresses[1], mechanism)
        async with connected(receiver) as peer:
            await peer.reply()
            await peer.say(b"EHLO client.example")
            assert (await peer.say(b"AUTH PLAIN AGFsaWNlAHNlY3JldA==")).startswith("538 ")
    for envelope, _, _ in stored(spool):
        assert envelope.protocol == "ESMTPSA"
        assert dict(envelope.extras)["AUTH"] == "alice"
        assert envelope.recipients == (Recipient("eve@elsewhere.example"),)
    lines = [record.getMessage() for record in caplog.records]
    assert sum("event=login peer=127.0.0.1 user=alice" in line for line in lines) == 2
    assert not any("secret" in line or "AGFsaWNl" in line for line in lines)


@on_loop
async def test_guessing_is_refused_slowly_and_then_not_looked_at(spool: Spool) -> None:
    certify(spool)
    enlist(spool)

    def guess(address: tuple[str, int], user: str, password: str) -> tuple[int, str]:
        with smtplib.SMTP_SSL(*address, timeout=20, context=client_context()) as client:
            client.ehlo("client.example")
            client.user, client.password = user, password
            try:
                code, text = client.auth("plain", client.auth_plain)
            except smtplib.SMTPAuthenticationError as error:
                return error.smtp_code, str(error.smtp_error)
            return code, str(text)

    async with receiving(spool, SUBMISSION) as receiver:
        address = receiver.addresses[1]
        codes = [
            await asyncio.to_thread(guess, address, *pair)
            for pair in (("alice", "guess"), ("nobody", "secret"), ("alice", "secret"))
        ]
    assert [code for code, _ in codes] == [535, 535, 454]


@on_loop
async def test_a_spoiled_file_of_users_makes_nobodys_password_wrong(spool: Spool) -> None:
    certify(spool)
    enlist(spool)
    with (Path(spool.root) / "etc" / "users").open("a") as file:
        file.write("bob:plain\n")

    def guess(address: tuple[str, int]) -> int:
        with smtplib.SMTP_SSL(*address, timeout=20, context=client_context()) as client:
            try:
                client.login("alice", "secret")
            except smtplib.SMTPAuthenticationError as error:
                return error.smtp_code
            return 235

    async with receiving(spool, SUBMISSION) as receiver:
        assert await asyncio.to_thread(guess, receiver.addresses[1]) == 454


@pytest.mark.real
@on_loop
async def test_swaks_logs_in_by_starttls(spool: Spool) -> None:
    swaks = need("swaks")
    certify(spool)
    enlist(spool)
    async with receiving(spool, SUBMISSION) as receiver:
        plain, secure = ("{}:{}".format(*place) for place in receiver.addresses)
        for server, options in ((plain, ["--tls"]), (secure, ["--tls-on-connect"])):
            for mechanism in ("PLAIN", "LOGIN"):
                said = await run(
                    *(swaks, "--server", server, "--from", "alice@site.example"),
                    *("--to", "eve@elsewhere.example", "--auth", mechanism),
                    *("--auth-user", "alice", "--auth-password", "secret", *options),
                )
                assert "queued as" in said
    assert {envelope.protocol for envelope, _, _ in stored(spool)} == {"ESMTPSA"}
    assert len(stored(spool)) == 4


# -- users -----------------------------------------------------------------------------------------


def test_the_file_of_users_keeps_its_lines_and_no_password(tmp_path: Path) -> None:
    users = Users(tmp_path / "users")
    assert users.read() == {}
    assert not users.verify("alice", "secret")
    assert not users.change("alice", Hashed.of("secret"))
    users.path.write_text("# ours\n" + users.path.read_text())
    assert not users.change("bøb", Hashed.of("þorn"))
    assert users.change("alice", Hashed.of("other"))
    text = users.path.read_text()
    assert text.startswith("# ours\n")
    assert "other" not in text
    assert "secret" not in text
    assert stat.S_IMODE(users.path.stat().st_mode) == 0o600
    assert [users.verify(*pair) for pair in (("alice", "other"), ("alice", "secret"))] == [1, 0]
    assert users.verify("bøb", "þorn")
    assert users.change("alice", None)
    assert not users.change("alice", None)
    assert not users.verify("alice", "other")


@pytest.mark.parametrize(
    "line",
    [
        "alice",
        "alice:scrypt:16384:8:1:AAAA:",
        "alice:scrypt:16384:8:1:A:AAAA",
        "alice:md5:1:1:1:AAAA:AAAA",
        "a b:scrypt:16384:8:1:AAAA:AAAA",
    ],
)
def test_a_line_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    users = Users(tmp_path / "users")
    users.path.write_text(f"# first\n{line}\n")
    with pytest.raises(ConfigError, match="line 2"):
        users.read()


@pytest.mark.parametrize("cost", ["99999999:8:1", "3:8:1", "0:0:0"])
def test_a_cost_that_is_none_is_no_wrong_password(tmp_path: Path, cost: str) -> None:
    users = Users(tmp_path / "users")
    users.path.write_text(f"alice:scrypt:{cost}:AAAA:AAAA\n")
    with pytest.raises(ConfigError, match="cost"):
        users.verify("alice", "x")


# -- LMTP ------------------------------------------------------------------------------------------

LOCAL = SETTINGS.but(listen=(), listen_lmtp=("unix:lmtp.sock", "127.0.0.1:0"))


@on_loop
async def test_lmtp_over_a_socket_of_this_host(spool: Spool) -> None:
    path = Path(spool.root) / "lmtp.sock"
    with socket.socket(socket.AF_UNIX) as dead:  # its owner was killed
        dead.bind(str(path))

    async with receiving(spool, LOCAL) as receiver:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        peer = Peer(*await asyncio.open_unix_connection(str(path)))
        await peer.reply()
        await peer.say(b"LHLO client.example")
        await peer.say(b"MAIL FROM:<>")
        for address in (b"bob@site.example", b"eve@elsewhere.example"):
            assert (await peer.say(b"RCPT TO:<" + address + b">")).startswith("250 ")
        await peer.say(b"DATA")
        assert (await peer.say(b"x\r\n.")).startswith("250 2.0.0 queued as ")
        assert (await peer.reply()).startswith("250 2.0.0 queued as ")
        peer.writer.close()
        async with connected(receiver) as peer:
            await peer.reply()
            assert (await peer.say(b"EHLO x")).startswith("502 ")
            await peer.say(b"LHLO x")
            peer.writer.write(PATHS.replace(b"c@", b"bob@") + chunk(b"x\r\n", last=True))
            assert [(await peer.reply())[:3] for _ in range(3)] == ["250"] * 3
    local, remote = stored(spool)
    assert (local[0].protocol, local[0].peer_address) == ("LMTP", "")
    assert len(local[0].recipients) == 2
    assert b"(local)" in local[1]
    assert remote[2] == b"x\r\n"


@on_loop
async def test_a_socket_that_is_in_use_is_not_taken_away(spool: Spool) -> None:
    async with receiving(spool, LOCAL.but(listen_lmtp=("unix:lmtp.sock",))):
        with pytest.raises(Exception, match=r"lmtp\.sock"):
            await make(LOCAL.but(listen_lmtp=("unix:lmtp.sock",)), spool).start()

        def work() -> int:
            with smtplib.LMTP(f"{spool.root}/lmtp.sock") as client:
                return client.noop()[0]

        assert await asyncio.to_thread(work) == 250


@pytest.mark.real
@on_loop
async def test_swaks_speaks_lmtp(spool: Spool) -> None:
    swaks = need("swaks")
    async with receiving(spool, LOCAL):
        said = await run(
            *(swaks, "--protocol", "LMTP", "--socket", f"{spool.root}/lmtp.sock"),
            *("--from", "a@b.example", "--to", "bob@site.example,carl@site.example"),
        )
    assert said.count("queued as") == 2
    assert len(stored(spool)) == 1


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


# -- a mail server before us -----------------------------------------------------------------------

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


# -- what is written down --------------------------------------------------------------------------


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


@on_loop
async def test_a_message_given_up_between_chunks_leaves_nothing(spool: Spool) -> None:
    async with receiving(spool) as receiver, connected(receiver) as peer:
        await peer.reply()
        await peer.say(b"EHLO client.example")
        for end in (b"RSET", b"QUIT"):
            peer.writer.write(PATHS + chunk(b"x" * 100_000) + end + b"\r\n")
            replies = [(await peer.reply())[:3] for _ in range(4)]
            assert replies == ["250"] * 3 + ["250" if end == b"RSET" else "221"]
    assert stored(spool) == []
    assert drafts(spool) == []


@on_loop
async def test_a_stop_lets_a_message_in_chunks_end(spool: Spool) -> None:
    async with receiving(spool) as receiver, connected(receiver) as peer:
        await peer.reply()
        await peer.say(b"EHLO client.example")
        peer.writer.write(PATHS + chunk(b"one\r\n"))
        assert [(await peer.reply())[:3] for _ in range(3)] == ["250"] * 3
        stopping = asyncio.create_task(receiver.stop(grace=30))
        await asyncio.sleep(0)
        assert (await peer.say(chunk(b"two", last=True)[:-2])).startswith("250 2.0.0 queued as ")
        assert (await peer.reply()).startswith("421 ")
        await stopping
    assert [body for _, _, body in stored(spool)] == [b"one\r\nt\r\n"]


# -- systemd and inetd -----------------------------------------------------------------------------


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    """A spool laid out; nothing runs."""
    return Gateway(tmp_path / "spool", "maildir:maildir")


def smtpd(gateway: Gateway, *options: str) -> list[str]:
    return [sys.executable, "-m", "spoolscan", "--spool", str(gateway.root), "smtpd", *options]


AS_SYSTEMD = """
import fcntl, os, sys
spare = [fcntl.fcntl(int(word), fcntl.F_DUPFD, 20) for word in sys.argv[1:3]]
for number, descriptor in enumerate(spare, 3):
    os.dup2(descriptor, number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="mail:lmtp")
os.execv(sys.argv[3], sys.argv[3:])
"""


def test_sockets_that_systemd_opened_are_listened_on_and_no_others(gateway: Gateway) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", AS_SYSTEMD, str(one.fileno()), str(two.fileno())),
                *smtpd(gateway),
            ],
            pass_fds=(one.fileno(), two.fileno()),
            stderr=subprocess.PIPE,
        )
        try:
            for listener, greeting in ((one, b"EHLO"), (two, b"LHLO")):
                with socket.create_connection(listener.getsockname(), 60) as sock:
                    said = sock.makefile("rb")
                    assert said.readline().startswith(b"220 ")
                    sock.sendall(greeting + b" x\r\n")
                    assert said.readline().startswith(b"250-")
                    said.close()
            assert not answers(gateway.port), "the settings' own address"
        finally:
            process.terminate()
            _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors


def test_variables_meant_for_another_process_are_not_ours(gateway: Gateway) -> None:
    os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"] = "1", "1"
    try:
        gateway.start_receiver()
        assert answers(gateway.port)
    finally:
        del os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"]
        gateway.stop()


def test_inetd_hands_over_a_peer_and_our_log_is_not_for_it(gateway: Gateway) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with smtplib.SMTP(timeout=60) as client:
            client._host = "127.0.0.1"  # type: ignore[attr-defined] # what connect() would set
            client.sock = socket.create_connection(listener.getsockname(), 60)
            accepted, _ = listener.accept()
            with accepted:
                process = subprocess.Popen(
                    smtpd(gateway, "--stdio"), stdin=accepted, stdout=accepted, stderr=accepted
                )
            assert client.getreply()[0] == 220
            assert client.rcpt("x@y.example")[0] == 503
            client.ehlo("client.example")
            client.mail("a@b.example")
            assert client.rcpt("eve@elsewhere.example")[0] == 550, "from outside"
            assert client.rcpt("bob@example.com")[0] == 250
            assert client.data(MESSAGE)[0] == 250
            assert client.quit()[0] == 221
        assert process.wait(60) == 0
    (queue_id,) = gateway.messages("incoming")
    head = (gateway.root / "incoming" / queue_id).read_bytes()
    assert b"\nPEER 127.0.0.1 -\n" in head


def test_a_peer_of_inetd_is_told_421_where_we_cannot_take_mail(gateway: Gateway) -> None:
    gateway.configure("receiver", hops="-1")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            smtpd(gateway, "--stdio"), stdin=theirs, stdout=theirs, stderr=theirs
        )
        theirs.close()
        said = ours.makefile("rb")
        assert said.read() == b"421 4.3.0 cannot take mail now, try again later\r\n"
        said.close()
    assert process.wait(60) == 78


def test_a_program_of_this_host_may_send_to_anywhere(gateway: Gateway) -> None:
    process = subprocess.Popen(
        smtpd(gateway, "--stdio"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"220 ")
    for line, code in (
        (b"HELO me", b"250"),
        (b"MAIL FROM:<a@b.example>", b"250"),
        (b"RCPT TO:<eve@elsewhere.example>", b"250"),
        (b"DATA", b"354"),
        (b"Subject: x\r\n\r\nx\r\n.", b"250"),
        (b"QUIT", b"221"),
    ):
        process.stdin.write(line + b"\r\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith(code), line
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert b"event=received" in errors
    assert len(gateway.messages("incoming")) == 1


def test_passwd_adds_changes_and_deletes(gateway: Gateway) -> None:
    def passwd(*arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "spoolscan", "--spool", str(gateway.root), "passwd"]
        return subprocess.run(
            [*command, *arguments], input=said, text=True, capture_output=True, check=False
        )

    users = Users(gateway.root / "etc" / "users")
    assert "alice: added" in passwd("alice", said="secret\n").stdout
    assert users.verify("alice", "secret")
    assert "alice: changed" in passwd("alice", said="other\n").stdout
    assert users.verify("alice", "other")
    assert passwd("bob", said="\n").returncode == 64
    assert passwd("a b", said="x\n").returncode == 64
    assert "alice: taken out" in passwd("alice", "--delete").stdout
    assert users.read() == {}
    assert passwd("alice", "--delete").returncode == 64
