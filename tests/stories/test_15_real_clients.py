"""Programs that others wrote deliver through it, each message once and as it was.

`CLIENTS` is the table: a name, what must be there to try it, and how it sends.  A client that
differs only by its options (TLS, AUTH) is one more line of it.
"""

from __future__ import annotations

import asyncio
import shutil
import smtplib
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiosmtplib
import pytest
from gateway import Gateway
from postfix_server import PostfixServer

pytestmark = pytest.mark.real

SENDER, RECIPIENT = "alice@example.net", "bob@example.com"
MESSAGES = 3  # from each client, one after another
# What line ends, dots and bytes a client might get wrong.
MESSAGE = (
    "From: alice@example.net\r\nTo: bob@example.com\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n"
    "Date: Sat, 21 Nov 2026 05:30:00 +0000\r\nMessage-ID: <%s@example.net>\r\n"
    "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    "Content-Transfer-Encoding: 8bit\r\n\r\n"
    ".\r\n..\r\n.a line\r\n\r\ngr\u00fc\u00dfe \u2028 \x85\r\n  white space  \r\n"
    f"{'a long line ' * 70}\r\n\r\n.\r\nend\r\n\r\n"
)
PATH = "/usr/sbin:/usr/bin:/bin"


def letters(name: str) -> list[bytes]:
    """What a client sends; no other sends the same."""
    return [(MESSAGE % f"{name}-{number}").encode() for number in range(MESSAGES)]


@pytest.fixture(scope="module")
def running(
    postfix_process: PostfixServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """One for all of them: all that they send passes."""
    postfix_process.start()
    root = tmp_path_factory.mktemp("gateway") / "spool"
    with Gateway(root, postfix_process.url) as gateway:
        gateway.start()
        yield gateway
        assert gateway.stop() == 0


# -- the clients -----------------------------------------------------------------------------------


def by_smtplib(gateway: Gateway, mail: list[bytes], folder: Path) -> None:
    with smtplib.SMTP("127.0.0.1", gateway.port, timeout=60) as client:
        for letter in mail:
            client.sendmail(SENDER, [RECIPIENT], letter, ["BODY=8BITMIME"])


def by_aiosmtplib(gateway: Gateway, mail: list[bytes], folder: Path) -> None:
    async def send() -> None:
        async with aiosmtplib.SMTP(
            hostname="127.0.0.1", port=gateway.port, start_tls=False
        ) as client:
            for letter in mail:
                await client.sendmail(SENDER, [RECIPIENT], letter, mail_options=["BODY=8BITMIME"])

    asyncio.run(send())


def by_swaks(gateway: Gateway, mail: list[bytes], folder: Path, *options: str) -> None:
    for letter in mail:
        file = folder / "letter"
        # As it goes over the wire: what swaks makes of a file by itself are line ends of its own.
        file.write_bytes(letter.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        gateway.swaks(file, "--from", SENDER, "--to", RECIPIENT, *options)


def by_curl(gateway: Gateway, mail: list[bytes], folder: Path) -> None:
    for letter in mail:
        subprocess.run(
            [
                "curl", "--silent", "--show-error", "--url", f"smtp://127.0.0.1:{gateway.port}",
                "--mail-from", SENDER, "--mail-rcpt", RECIPIENT, "--upload-file", "-",
            ],
            input=letter, check=True, timeout=60,
        )  # fmt: skip


def by_postfix(gateway: Gateway, mail: list[bytes], folder: Path) -> None:
    """A mail server of its own hands them on to us."""
    if reason := PostfixServer.absent():
        pytest.skip(reason)
    with PostfixServer(["x@outside.example"], outside=gateway.port) as outside:
        with smtplib.SMTP("127.0.0.1", outside.port, timeout=60) as client:
            for letter in mail:
                client.sendmail(SENDER, [RECIPIENT], letter, ["BODY=8BITMIME"])
        outside.empty()


@dataclass(frozen=True)
class Client:
    """``program`` is what it needs; "" where that comes with the tests."""

    program: str
    send: Callable[[Gateway, list[bytes], Path], None]


CLIENTS = {
    "smtplib": Client("", by_smtplib),
    "aiosmtplib": Client("", by_aiosmtplib),
    "swaks": Client("swaks", by_swaks),
    "swaks, pipelining": Client("swaks", lambda *where: by_swaks(*where, "--pipeline")),
    "curl": Client("curl", by_curl),
    "Postfix": Client("postfix", by_postfix),
}


@pytest.mark.parametrize("name", CLIENTS)
def test_what_it_sends_arrives_once_and_as_it_was(
    name: str, running: Gateway, postfix: PostfixServer, tmp_path: Path
) -> None:
    client, mail = CLIENTS[name], letters(f"{list(CLIENTS).index(name)}")
    if client.program and shutil.which(client.program, path=PATH) is None:
        pytest.skip(f"no {client.program} here: install it to run this test")
    client.send(running, mail, tmp_path)
    arrived = postfix.wait_for(RECIPIENT, count=MESSAGES)
    assert len(arrived) == MESSAGES
    for letter in mail:
        assert sum(one.endswith(b"\r\n" + letter) for one in arrived) == 1


def test_postfixs_smtp_source_delivers_over_many_sessions_and_over_few(
    running: Gateway, postfix: PostfixServer
) -> None:
    program = shutil.which("smtp-source", path=PATH)
    if program is None:
        pytest.skip("no smtp-source here: install postfix to run this test")
    for options in (["-s", "20"], ["-s", "4", "-d"]):  # -d: several messages over one connection
        subprocess.run(
            [
                program, *options, "-m", "40", "-l", "2000",
                "-f", SENDER, "-t", RECIPIENT, f"127.0.0.1:{running.port}",
            ],
            check=True, timeout=60,
        )  # fmt: skip
    postfix.wait_for(RECIPIENT, count=80)
    assert len(postfix.delivered(RECIPIENT)) == 80
