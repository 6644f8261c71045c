"""A program by its name: set aside before anything is decoded or scanned, as in 2001."""

from __future__ import annotations

import pytest
from clamd_server import ClamdServer
from gateway import ADMIN, Gateway
from letters import PROGRAM, read, with_attachment
from postfix_server import PostfixServer

pytestmark = pytest.mark.real


def test_an_exe_is_quarantined_as_it_came_by_the_line_of_the_pattern_file(
    gateway: Gateway, postfix: PostfixServer
) -> None:
    gateway.start()
    message = with_attachment("Game", "game.exe", PROGRAM)
    queue_id = gateway.send(message)
    path = gateway.wait_in("quarantine", queue_id)
    notice = read(postfix.wait_for(ADMIN)[0])

    assert path.read_bytes().endswith(b"\r\n" + message)
    assert not path.with_name(f"{queue_id}_d").exists()
    why = path.with_name(f"{queue_id}.why.txt").read_text()
    assert why.startswith("banned: this message was not delivered.\n")
    assert "matches.bad" in why
    assert notice["Subject"].startswith("[spoolscan] banned: ")
    assert postfix.delivered("bob@example.com") == []


def test_no_engine_is_asked_about_it(
    gateway: Gateway, postfix: PostfixServer, clamd: ClamdServer
) -> None:
    gateway.use_clamd(clamd)
    gateway.start()
    clamd.stop()
    queue_id = gateway.send(with_attachment("Game", "game.exe", PROGRAM))
    gateway.wait_in("quarantine", queue_id)
