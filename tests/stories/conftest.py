"""What every story starts from: a Postfix inside, and a gateway before it that is not started."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway import ADMIN, Gateway
from postfix_server import PostfixServer

MAILBOXES = ("bob@example.com", "carol@example.com", "alice@example.com", ADMIN)


@pytest.fixture(scope="session")
def postfix_process() -> Iterator[PostfixServer]:
    """The Postfix of this session (one a worker of xdist)."""
    if reason := PostfixServer.absent():
        pytest.skip(reason)
    with PostfixServer(MAILBOXES, answers={"full@example.com": "452 4.2.2 mailbox full"}) as server:
        yield server


@pytest.fixture
def postfix(postfix_process: PostfixServer) -> PostfixServer:
    """A real Postfix with empty mailboxes, whatever the test before did to it."""
    postfix_process.start()
    postfix_process.empty()
    return postfix_process


@pytest.fixture
def gateway(postfix: PostfixServer, tmp_path: Path) -> Iterator[Gateway]:
    """spoolscan before that Postfix, laid out and not started."""
    with Gateway(tmp_path / "spool", postfix.url) as place:
        yield place


@pytest.fixture
def swaks() -> None:
    """Skips where swaks is not there."""
    if shutil.which("swaks") is None:
        pytest.skip("no swaks here: install swaks to run this test")
