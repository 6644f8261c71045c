"""Clean mail passes, in both directions, and not one byte of it changes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway import INSIDE, Gateway
from postfix_server import PostfixServer

pytestmark = pytest.mark.real

MESSAGE = (
    "DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=one;\r\n"
    "\th=from:to:subject; bh=AAAA=;\r\n"
    " \tb=BBBB=\r\n"
    "From: Alice <alice@example.net>\r\n"
    "To:   Bob <bob@example.com> \r\n"
    "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    "MIME-Version: 1.0\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n"
    "Content-Transfer-Encoding: 8bit\r\n"
    "\r\n"
    "Grüße,\r\n"
    ".\r\n"
    "..two dots, a tab\t and blanks at the end  \r\n"
    "From here on nothing is quoted.\r\n"
    f"{'a long line ' * 80}\r\n"
    "\r\n"
    "\r\n"
).encode()
STUFFED = MESSAGE.replace(b"\r\n.", b"\r\n..") + b".\r\n"


def our_lines(peer: str, helo: str, recipient: str, queue_id: str) -> str:
    return (
        r"X-Virus-Scanned: spoolscan \S+ at gate\.example\.com\r\n"
        rf"Received: from {re.escape(helo)} \(\[{re.escape(peer)}\]\)\r\n"
        rf"\tby gate\.example\.com \(spoolscan \S+\) with ESMTP id {queue_id}\r\n"
        rf"\tfor <{re.escape(recipient)}>;\r\n"
        r"\t\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000\r\n"
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "message"
    path.write_bytes(STUFFED)
    return path


@pytest.fixture
def world() -> Iterator[PostfixServer]:
    """The rest of the internet."""
    if reason := PostfixServer.absent():
        pytest.skip(reason)
    with PostfixServer(["dora@example.org"], hostname="mx.example.org") as server:
        yield server


def test_mail_from_outside_arrives_byte_for_byte_under_our_lines(
    gateway: Gateway, postfix: PostfixServer, swaks: None, file: Path
) -> None:
    gateway.start()
    queue_id = gateway.swaks(
        file, "--helo", "mail.example.net", "--from", "alice@example.net", "--to", "bob@example.com"
    )
    (arrived,) = postfix.wait_for("bob@example.com")
    assert arrived.endswith(MESSAGE)
    ours = arrived.removesuffix(MESSAGE).decode("ascii")
    assert re.fullmatch(
        our_lines("127.0.0.1", "mail.example.net", "bob@example.com", queue_id), ours
    )
    gateway.wait_until_done(queue_id)
    assert gateway.stop() == 0


def test_mail_from_our_own_network_goes_out_byte_for_byte_to_the_world(
    world: PostfixServer, tmp_path: Path, swaks: None, file: Path
) -> None:
    with (
        PostfixServer(["alice@example.com"], outside=world.port) as inside,
        Gateway(tmp_path / "spool", inside.url) as gateway,
    ):
        gateway.start()
        queue_id = gateway.swaks(
            file, "--local-interface", INSIDE, "--helo", "desk.example.com",
            "--from", "alice@example.com", "--to", "dora@example.org",
        )  # fmt: skip
        (arrived,) = world.wait_for("dora@example.org")
        assert arrived.endswith(MESSAGE)
        ours = arrived.removesuffix(MESSAGE).decode("ascii")
        assert re.fullmatch(
            our_lines(INSIDE, "desk.example.com", "dora@example.org", queue_id), ours
        )


def test_each_of_many_recipients_gets_it_once(gateway: Gateway, postfix: PostfixServer) -> None:
    gateway.start()
    queue_id = gateway.send(MESSAGE, recipients=("bob@example.com", "carol@example.com"))
    for address in ("bob@example.com", "carol@example.com"):
        (arrived,) = postfix.wait_for(address)
        assert arrived.endswith(MESSAGE)
        assert b"\tfor <" not in arrived
    gateway.wait_until_done(queue_id)
    assert len(postfix.delivered("bob@example.com")) == 1
