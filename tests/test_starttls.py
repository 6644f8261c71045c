"""TLS, by STARTTLS (RFC 3207) and from the first byte on."""

from __future__ import annotations

import asyncio
import logging
import smtplib
import socket
import ssl
import subprocess
from pathlib import Path

import certificates
import pytest
from loopback import on_loop
from reception import (
    HOST,
    MESSAGE,
    SECURE,
    certify,
    client_context,
    connected,
    drafts,
    make,
    need,
    receiving,
    stored,
)
from smuggled import INJECTED
from talk import HELLO, WITH_TLS, talk

from spoolscan.config import TLS
from spoolscan.errors import ConfigError
from spoolscan.receiver.events import StartTLS, State
from spoolscan.receiver.session import Session
from spoolscan.spool import Spool

# -- without a socket ------------------------------------------------------------------------------


def test_starttls_is_offered_once_and_begins_the_session_anew() -> None:
    done = talk(HELLO, b"STARTTLS\r\n", b"MAIL FROM:<>\r\n", HELLO, b"STARTTLS\r\n", terms=WITH_TLS)
    assert done.codes == ["250", "220", "503", "250", "503"]
    before, _, after = done.output.partition(b"220 2.0.0 ")
    assert b"250-STARTTLS" not in after
    assert b"STARTTLS" in before
    assert b"AUTH" not in before
    assert b"250 AUTH PLAIN LOGIN\r\n" in after


@pytest.mark.parametrize("injected", INJECTED)
def test_nothing_said_in_the_clear_behind_starttls_is_heard(injected: bytes) -> None:
    assert len(INJECTED) == 20
    together = talk(HELLO, b"STARTTLS\r\n" + injected, terms=WITH_TLS)
    assert together.codes == ["250", "554"]
    assert together.closed

    session = Session(WITH_TLS)
    session.greet()
    session.receive_data(HELLO)
    session.next_event()
    session.receive_data(b"STARTTLS\r\n")
    assert session.next_event() == StartTLS()
    session.receive_data(injected)  # before the handshake, behind our 220
    assert session.state is State.CLOSED
    with pytest.raises(RuntimeError):
        session.secured("TLSv1.3 X")


def test_without_a_certificate_there_is_no_starttls() -> None:
    assert talk(HELLO, b"STARTTLS\r\n").codes[-1] == "502"
    assert talk(HELLO, b"STARTTLS now\r\n", terms=WITH_TLS).codes[-1] == "501"


def test_a_driver_that_breaks_the_rules_of_tls_is_told() -> None:
    session = Session(WITH_TLS)
    session.greet()
    with pytest.raises(RuntimeError):
        session.secured("TLSv1.3 X")
    session.receive_data(b"STARTTLS\r\n")
    session.next_event()
    with pytest.raises(RuntimeError):
        session.next_event()


# -- over a socket ---------------------------------------------------------------------------------


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
