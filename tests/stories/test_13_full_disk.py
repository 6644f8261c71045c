"""The disk is full: the peer is told to come again, no file is lost, and it goes on by itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway import ADMIN, Gateway
from letters import PROGRAM, letter, with_attachment
from postfix_server import PostfixServer

pytestmark = pytest.mark.real


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("no mount here: run this test as root to fill a disk of its own")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def gateway(postfix: PostfixServer, disk: Path) -> Iterator[Gateway]:
    """With its spool on that disk, and its log elsewhere."""
    with Gateway(disk / "spool", postfix.url, log=disk.parent / "log") as place:
        place.configure("receiver", min_free="0", min_inodes="0")
        yield place


def fill(disk: Path) -> Path:
    path = disk / "rubbish"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return path


def offer(gateway: Gateway, message: bytes) -> int:
    """What a peer is told at the end of it."""
    with gateway.connect() as client:
        client.ehlo("mail.example.net")
        for code, _ in (client.mail("alice@example.net"), client.rcpt("bob@example.com")):
            if code != 250:
                return code
        code, _ = client.docmd("DATA")
        if code != 354:
            return code
        client.send(message + b".\r\n")
        return client.getreply()[0]


def test_a_peer_is_told_to_come_again_and_is_taken_when_there_is_room(
    gateway: Gateway, postfix: PostfixServer, disk: Path
) -> None:
    gateway.start()
    postfix.stop()
    waiting = gateway.send(letter("waits"))
    kept = gateway.wait_in("outgoing", waiting).read_bytes()

    rubbish = fill(disk)
    assert offer(gateway, letter("no room", "x" * 70 + "\n")) == 452
    assert offer(gateway, letter("no room", "\n".join(["x" * 70] * 5000))) == 452
    assert gateway.messages("tmp") == gateway.messages("incoming") == []
    assert gateway.messages("outgoing") == [waiting]
    assert (gateway.root / "outgoing" / waiting).read_bytes() == kept

    rubbish.unlink()
    assert offer(gateway, letter("room again")) == 250
    postfix.start()
    arrived = postfix.wait_for("bob@example.com", count=2)
    assert sorted(mail.partition(b"Subject: ")[2].partition(b"\r\n")[0] for mail in arrived) == [
        b"room again",
        b"waits",
    ]


def test_mail_in_the_scanner_hands_stays_and_is_judged_when_there_is_room(
    gateway: Gateway, postfix: PostfixServer, disk: Path
) -> None:
    gateway.start()
    gateway.send_signal("scanmail", signal.SIGSTOP)
    message = with_attachment("Game", "game.exe", PROGRAM)
    queue_id = gateway.send(message)
    rubbish = fill(disk)
    gateway.send_signal("scanmail", signal.SIGCONT)
    gateway.wait_for_log("event=trouble", count=2)
    assert gateway.messages("quarantine") == []
    assert gateway.messages("incoming") + gateway.messages("scanning") == [queue_id]

    rubbish.unlink()
    path = gateway.wait_in("quarantine", queue_id)
    assert path.read_bytes().endswith(b"\r\n" + message)
    postfix.wait_for(ADMIN)
    assert path.with_name(f"{queue_id}.why.txt").read_text().startswith("banned: ")
