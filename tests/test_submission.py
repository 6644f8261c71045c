"""AUTH (RFC 4954): who logs in, how that is guessed at, and what it allows."""

from __future__ import annotations

import asyncio
import base64
import logging
import smtplib
from dataclasses import replace
from pathlib import Path

import pytest
from loopback import on_loop
from reception import (
    MESSAGE,
    SECURE,
    certify,
    client_context,
    connected,
    need,
    receiving,
    run,
    stored,
)
from talk import HELLO, WITH_TLS, talk

from spoolscan.config import Auth
from spoolscan.envelope import Recipient
from spoolscan.receiver.conduct import LOGINS
from spoolscan.spool import Spool
from spoolscan.units import Rate
from spoolscan.users import Hashed, Users

# -- without a socket ------------------------------------------------------------------------------

PLAIN = base64.b64encode(b"\0alice\0secret")
WRONG = base64.b64encode(b"\0alice\0guess")
UNDER_TLS = (HELLO, b"STARTTLS\r\n", HELLO)


@pytest.mark.parametrize(
    "lines",
    [
        [b"AUTH PLAIN " + PLAIN],
        [b"auth plain", PLAIN],
        [b"AUTH PLAIN " + base64.b64encode(b"alice\0alice\0secret")],
        [b"AUTH LOGIN", b"YWxpY2U=", b"c2VjcmV0"],
        [b"AUTH LOGIN YWxpY2U=", b"c2VjcmV0"],
    ],
)
def test_a_user_logs_in_under_tls(lines: list[bytes]) -> None:
    done = talk(*UNDER_TLS, *(line + b"\r\n" for line in lines), terms=WITH_TLS)
    assert [(login.user, login.password) for login in done.logins] == [("alice", "secret")]
    assert done.codes[-1] == "235"
    assert done.session.user == "alice"
    assert "secret" not in repr(done.logins)
    again = talk(
        *UNDER_TLS, *(line + b"\r\n" for line in lines), HELLO, lines[0] + b"\r\n", terms=WITH_TLS
    )
    assert again.codes[-1] == "503"
    assert b"AUTH" not in again.output.rpartition(b"235 ")[2]


def test_nobody_logs_in_in_the_clear_or_where_it_is_off() -> None:
    assert talk(HELLO, b"AUTH PLAIN " + PLAIN + b"\r\n", terms=WITH_TLS).codes[-1] == "538"
    off = replace(WITH_TLS, auth=False)
    assert talk(*UNDER_TLS, b"AUTH PLAIN " + PLAIN + b"\r\n", terms=off).codes[-1] == "502"


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([b"AUTH"], "504"),
        ([b"AUTH CRAM-MD5"], "504"),
        ([b"AUTH PLAIN", b"*"], "501"),
        ([b"AUTH PLAIN", b"!!!!"], "501"),
        ([b"AUTH PLAIN", b"\xff\xfe"], "501"),
        ([b"AUTH PLAIN ="], "501"),
        ([b"AUTH PLAIN " + base64.b64encode(b"alice\0secret")], "501"),
        ([b"AUTH PLAIN " + base64.b64encode(b"bob\0alice\0secret")], "501"),
        ([b"AUTH PLAIN " + base64.b64encode(b"\0\0secret")], "501"),
        ([b"AUTH PLAIN " + base64.b64encode(b"\0a\xff\0secret")], "501"),
        ([b"AUTH PLAIN " + base64.b64encode(b"\0a\nb\0secret")], "501"),
        ([b"AUTH PLAIN " + base64.b64encode(b"\0" + b"a" * 256 + b"\0x")], "501"),
        ([b"AUTH LOGIN", b"*"], "501"),
        ([b"AUTH LOGIN", b"YWxpY2U=", b"*"], "501"),
        ([b"AUTH PLAIN " + WRONG], "535"),
    ],
)
def test_what_is_no_login_is_refused_and_the_session_goes_on(lines: list[bytes], code: str) -> None:
    done = talk(*UNDER_TLS, *(line + b"\r\n" for line in lines), b"NOOP\r\n", terms=WITH_TLS)
    assert done.codes[-2:] == [code, "250"]
    assert done.session.user == ""


def test_wrong_passwords_end_the_session() -> None:
    done = talk(*UNDER_TLS, *[b"AUTH PLAIN " + WRONG + b"\r\n"] * 5, terms=WITH_TLS)
    assert done.codes[-2:] == ["535", "421"]
    assert len(done.logins) == LOGINS
    assert done.closed


def test_an_answer_is_not_pipelined() -> None:
    done = talk(*UNDER_TLS, b"AUTH LOGIN\r\n", b"YWxpY2U=\r\nc2VjcmV0\r\n", terms=WITH_TLS)
    assert done.codes[-1] == "554"
    assert done.closed


# -- over a socket ---------------------------------------------------------------------------------

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
