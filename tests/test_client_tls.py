"""TLS and AUTH on the way out: what is demanded, what is believed, and what is never said."""

from __future__ import annotations

import asyncio
import logging
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import certificates
import pytest
from loopback import until
from postfix_server import PostfixServer
from smtp_peer import Act, Answer, Peer, Then

from spoolscan.config import Forwarder, Timeouts
from spoolscan.errors import ConfigError
from spoolscan.forwarder.delivery import Mail, NextHopDown, TlsFailed
from spoolscan.forwarder.smtp import SmtpRoute
from spoolscan.nexthop.options import Options
from spoolscan.nexthop.url import Address

MESSAGE = b"Subject: hello\r\n\r\nhello\r\n"
COMPLETE = (  # Postfix adds nothing of its own to it
    b"Received: by me.test id 1\r\nFrom: a@example.org\r\nTo: b@example.com\r\n"
    b"Date: Sat, 21 Nov 2026 05:30:00 +0000\r\nMessage-ID: <1@me.test>\r\n\r\n.\r\n..x\r\n"
)
USER = ("relay", "s3cret words")
LONG = Timeouts()
SHORT = Timeouts(connect=5, greeting=0.3, command=0.3, block=0.3, answer=0.3)


async def content() -> AsyncIterator[bytes]:
    yield MESSAGE


async def complete() -> AsyncIterator[bytes]:
    yield COMPLETE


async def ignore(_: object) -> None:
    """Takes outcomes; what was delivered the peer tells."""


def deliver(peer: Peer, options: Options, times: int = 1, timeouts: Timeouts = LONG) -> Peer:
    mail = Mail("id", "a@example.org", ((0, "b@example.com"),), len(MESSAGE), False, content)

    async def main() -> None:
        async with peer:
            address = Address("127.0.0.1", peer.port)
            settings = Forwarder(timeouts=timeouts)
            route = SmtpRoute("smtp://here", address, "me.test", settings, options)
            try:
                for _ in range(times):
                    await route.deliver(mail, ignore)
            finally:
                await route.close()

    asyncio.run(main())
    return peer


def good() -> Peer:
    return Peer(tls=certificates.server("127.0.0.1", "mail.example.com"))


@pytest.mark.parametrize("tls", ["may", "encrypt"])
def test_any_certificate_keeps_out_who_only_listens(tls: str) -> None:
    peer = deliver(Peer(tls=certificates.server("other.example")), Options(tls=tls), times=3)  # type: ignore[arg-type] # one of the four words
    assert peer.commands[:3] == ["EHLO me.test", "STARTTLS", "EHLO me.test"]
    assert len(peer.deliveries) == 3
    assert peer.connections == 1


def test_no_tls_is_asked_for_where_none_is_wanted() -> None:
    assert "STARTTLS" not in deliver(good(), Options(tls="none")).commands


@pytest.mark.parametrize("name", ["", "mail.example.com"])
def test_a_certificate_of_a_known_ca_and_the_right_name_is_verified(
    tmp_path: Path, name: str
) -> None:
    options = Options(tls="verify", ca=certificates.trusted(tmp_path), name=name)
    assert len(deliver(good(), options).deliveries) == 1


def test_the_name_asked_for_is_told_to_the_server(tmp_path: Path) -> None:
    told: list[str | None] = []
    peer = good()
    assert peer.tls is not None
    peer.tls.sni_callback = lambda _socket, name, _context: told.append(name)
    options = Options(tls="verify", ca=certificates.trusted(tmp_path), name="mail.example.com")
    deliver(peer, options)
    assert told == ["mail.example.com"]


def test_a_certificate_of_another_name_is_not_believed(tmp_path: Path) -> None:
    options = Options(tls="verify", ca=certificates.trusted(tmp_path), name="mail.example.org")
    peer = good()
    with pytest.raises(TlsFailed, match=r"certificate not trusted: .*mail\.example\.org"):
        deliver(peer, options)
    assert peer.deliveries == []
    assert peer.connections == 1


def test_a_certificate_of_an_unknown_ca_is_not_believed() -> None:
    peer = good()
    with pytest.raises(TlsFailed, match="certificate not trusted"):
        deliver(peer, Options(tls="verify"))
    assert peer.deliveries == []


@pytest.mark.parametrize("tls", ["encrypt", "verify"])
def test_mail_waits_where_tls_is_demanded_and_not_offered(tls: str) -> None:
    peer = Peer()
    with pytest.raises(NextHopDown, match=f"no STARTTLS, and tls={tls}"):
        deliver(peer, Options(tls=tls))  # type: ignore[arg-type] # one of the four words
    assert peer.commands == ["EHLO me.test"]


NO_TLS: dict[str, Answer] = {
    "is busy": "421 4.3.0 later",
    "drops": Act.DROP,
    "hangs": Act.HANG,
    "answers in the clear": Then(b"220 go\r\nnot a handshake at all, by no means\r\n"),
    "promises and drops": Then(b"220 go\r\n"),
}


@pytest.mark.parametrize("how", NO_TLS)
def test_where_tls_is_only_wished_for_it_is_tried_without_once(how: str) -> None:
    peer = good()
    peer.answers["STARTTLS"] = NO_TLS[how]
    deliver(peer, Options(tls="may"), timeouts=SHORT)
    assert len(peer.deliveries) == 1
    assert peer.connections == 2


@pytest.mark.parametrize("how", NO_TLS)
def test_where_tls_is_demanded_it_is_not(how: str) -> None:
    peer = good()
    peer.answers["STARTTLS"] = NO_TLS[how]
    with pytest.raises(TlsFailed):
        deliver(peer, Options(tls="encrypt"), timeouts=SHORT)
    assert peer.deliveries == []
    assert peer.connections == 1


def test_a_refused_starttls_is_no_reason_to_hang_up_where_it_is_only_wished_for() -> None:
    peer = good()
    peer.answers["STARTTLS"] = "454 4.7.0 no entropy"
    deliver(peer, Options(tls="may"))
    assert (peer.connections, len(peer.deliveries)) == (1, 1)
    with pytest.raises(TlsFailed, match="no entropy"):
        deliver(peer, Options(tls="encrypt"))


def test_a_server_that_cannot_do_what_we_speak_is_given_mail_in_the_clear_if_that_may_be() -> None:
    old = certificates.server("127.0.0.1")
    old.set_ciphers("PSK")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    peer = deliver(Peer(tls=old), Options(tls="may"))
    assert (peer.connections, len(peer.deliveries)) == (2, 1)


@pytest.mark.parametrize(
    "extra",
    [
        b"250 injected\r\n",
        b"250-peer\r\n250 AUTH PLAIN\r\n",
        b"2",
        b"220 go\r\n",
        b"\r\n",
        b"421 bye\r\n",
        b"\x16\x03\x01",
    ],
)
def test_what_stands_behind_the_220_is_never_read_as_said_in_tls(extra: bytes) -> None:
    peer = good()
    peer.answers["STARTTLS"] = f"220 go\r\n{extra.decode('latin-1')}".removesuffix("\r\n")
    with pytest.raises((TlsFailed, NextHopDown)):
        deliver(peer, Options(tls="encrypt"), timeouts=SHORT)
    assert peer.deliveries == []
    assert peer.commands == ["EHLO me.test", "STARTTLS"]


def test_what_was_offered_before_the_handshake_is_forgotten() -> None:
    peer = good()
    hellos = iter(["250-peer\r\n250-AUTH LOGIN\r\n250 STARTTLS", "250 peer"])
    peer.answers["EHLO"] = lambda _: next(hellos)
    with pytest.raises(NextHopDown, match="neither AUTH PLAIN nor LOGIN"):
        deliver(peer, Options(tls="encrypt", auth=USER))


def test_tls_from_the_first_byte(tmp_path: Path) -> None:
    peer = Peer(tls=certificates.server("127.0.0.1"), implicit=True)
    options = Options(tls="verify", implicit=True, ca=certificates.trusted(tmp_path))
    assert len(deliver(peer, options).deliveries) == 1
    assert "STARTTLS" not in peer.commands


def test_a_server_that_speaks_in_the_clear_there_is_not_answered() -> None:
    peer = Peer()
    with pytest.raises(NextHopDown):
        deliver(peer, Options(tls="encrypt", implicit=True), timeouts=SHORT)
    assert peer.deliveries == []


def test_a_large_message_goes_through_tls_whole() -> None:
    big = b"x" * 70 + b"\r\n.\r\n"

    async def much() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield big * 900

    mail = Mail("id", "a@x.org", ((0, "b@x.org"),), len(big) * 90_000, False, much)
    for features in (("PIPELINING",), ("PIPELINING", "CHUNKING")):
        peer = Peer(tls=certificates.server("127.0.0.1"), features=features)

        async def main(peer: Peer = peer) -> None:
            async with peer:
                address = Address("127.0.0.1", peer.port)
                route = SmtpRoute("smtp://here", address, "me.test", Forwarder())
                await route.deliver(mail, ignore)
                await route.close()

        asyncio.run(main())
        assert peer.deliveries[0].data == big * 90_000


def test_settings_that_cannot_be_are_said_before_anything_starts(tmp_path: Path) -> None:
    bad = tmp_path / "ca.pem"
    bad.write_text("nothing\n")
    for options in (
        Options(tls="verify", ca=str(bad)),
        Options(tls="verify", ca=str(tmp_path / "missing")),
    ):
        with pytest.raises(ConfigError, match="allowed: a file of certificates"):
            SmtpRoute("smtp://here", Address("here", 25), "me.test", Forwarder(), options)
    with pytest.raises(ConfigError, match="name=HOST"):
        SmtpRoute(
            "lmtp:", Address(path="/s"), "me.test", Forwarder(), Options(tls="verify"), lmtp=True
        )


# AUTH

PLAIN = "AUTH PLAIN " + b64encode(b"\0relay\0s3cret words").decode()


@pytest.mark.parametrize(
    ("offer", "said"),
    [
        ("AUTH PLAIN LOGIN", [PLAIN]),
        ("AUTH CRAM-MD5 plain", [PLAIN]),
        (
            "AUTH LOGIN",
            [
                "AUTH LOGIN",
                b64encode(b"relay").decode(),
                b64encode(b"s3cret words").decode(),
            ],
        ),
    ],
)
def test_logs_in_over_tls(offer: str, said: list[str]) -> None:
    peer = Peer(tls=certificates.server("127.0.0.1"), features=("PIPELINING", offer))
    deliver(peer, Options(tls="encrypt", auth=USER))
    assert peer.commands[3 : 3 + len(said)] == said
    assert len(peer.deliveries) == 1


@pytest.mark.parametrize("tls", ["none", "may"])
def test_the_password_is_not_said_in_the_clear(tls: str) -> None:
    peer = Peer(features=("AUTH PLAIN LOGIN",))
    with pytest.raises(NextHopDown, match="not said in the clear"):
        deliver(peer, Options(tls=tls, auth=USER))  # type: ignore[arg-type] # one of the four words
    assert peer.commands == ["EHLO me.test"]


def test_nor_where_the_handshake_failed() -> None:
    peer = Peer(tls=certificates.server("127.0.0.1"), features=("AUTH PLAIN",))
    peer.answers["STARTTLS"] = Act.DROP
    with pytest.raises(NextHopDown, match="not said in the clear"):
        deliver(peer, Options(tls="may", auth=USER))
    assert not any(line.startswith("AUTH") for line in peer.commands)


def test_unless_that_is_allowed() -> None:
    peer = deliver(Peer(features=("AUTH PLAIN",)), Options(tls="may", auth=USER, clear=True))
    assert PLAIN in peer.commands
    assert len(peer.deliveries) == 1


@pytest.mark.parametrize(
    "answer",
    [
        f"535 5.7.8 no: {PLAIN}",
        f"454 4.7.0 {PLAIN}",
        f"421 4.7.0 {PLAIN}",
        f"500 5.5.1 unknown: {PLAIN}",
        f"250 {PLAIN}",
        "334 more",
    ],
)
def test_a_refused_login_bounces_nothing_and_the_password_reaches_no_log(
    answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    peer = Peer({"AUTH": answer}, features=("AUTH PLAIN",))
    with caplog.at_level(logging.DEBUG), pytest.raises(NextHopDown) as caught:
        deliver(peer, Options(auth=USER, clear=True))
    words = f"{caught.value!r} {caplog.text} {Options(auth=USER)!r}"
    assert "s3cret" not in words
    assert PLAIN[11:] not in words


# A real server


@pytest.mark.real
def test_postfix_takes_it_by_tls_bdat_and_xforward(tmp_path: Path) -> None:
    if reason := PostfixServer.absent():
        pytest.skip(reason)
    postfix = PostfixServer(["b@example.com"])
    pem = postfix.root / "etc" / "server.pem"
    certificates.authority().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        pem
    )
    settings = postfix.root / "etc" / "main.cf"
    settings.write_text(
        settings.read_text().replace(
            "smtpd_tls_security_level = none",
            f"smtpd_tls_security_level = encrypt\nsmtpd_tls_chain_files = {pem}\n"
            "smtpd_authorized_xforward_hosts = 127.0.0.0/8",
        )
    )
    mail = Mail(
        "20261121t053000z-d6m01v",
        "a@example.org",
        ((0, "b@example.com"),),
        len(COMPLETE),
        False,
        complete,
        origin={"NAME": "far.example", "ADDR": "192.0.2.7", "HELO": "far.example", "PROTO": "SMTP"},
    )
    options = Options(tls="verify", ca=certificates.trusted(tmp_path), xforward=True)

    async def main() -> None:
        address = Address("127.0.0.1", postfix.port)
        route = SmtpRoute(postfix.url, address, "me.test", Forwarder(), options)
        await route.deliver(mail, ignore)
        await route.close()

    with postfix:
        asyncio.run(main())
        (got,) = postfix.wait_for("b@example.com")
        until(lambda: "bdat=1" in postfix.log(), "Postfix tells what it was told", tell=postfix.log)
        assert "ehlo=2 xforward=1 starttls=1 mail=1 rcpt=1 bdat=1" in postfix.log()
        assert "orig_client=far.example[192.0.2.7]" in postfix.log()
    assert got == COMPLETE
