"""Many at once, from a program made to be a nuisance: each arrives, and once."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from gateway import Gateway
from postfix_server import PostfixServer

pytestmark = pytest.mark.real

MESSAGES = 60


def test_a_burst_over_parallel_sessions_arrives_completely(
    gateway: Gateway, postfix: PostfixServer
) -> None:
    program = shutil.which("smtp-source", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("no smtp-source here: install postfix to run this test")
    gateway.start()
    subprocess.run(
        [
            program, "-s", "10", "-m", str(MESSAGES), "-l", "5000",
            "-f", "alice@example.net", "-t", "bob@example.com", f"127.0.0.1:{gateway.port}",
        ],
        check=True,
        timeout=60,
    )  # fmt: skip
    arrived = postfix.wait_for("bob@example.com", count=MESSAGES)
    assert gateway.stop() == 0
    ids = {mail.partition(b" with SMTP id ")[2].partition(b"\r\n")[0] for mail in arrived}
    assert len(postfix.delivered("bob@example.com")) == len(ids) == MESSAGES
    for state in ("tmp", "incoming", "scanning", "outgoing", "hold", "quarantine"):
        assert gateway.messages(state) == []
