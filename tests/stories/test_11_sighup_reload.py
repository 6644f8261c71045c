"""Settings and patterns change while mail flows; a bad edit changes nothing, and is told."""

from __future__ import annotations

import smtplib

import pytest
from gateway import Gateway
from letters import PROGRAM, letter, with_attachment
from loopback import until
from postfix_server import PostfixServer

pytestmark = pytest.mark.real

DRAWING = with_attachment("Drawing", "plan.drawing", b"lines and lines")
GAME = with_attachment("Game", "game.exe", PROGRAM)


def size_limit(gateway: Gateway) -> str:
    """What EHLO announces; "" while nobody answers."""
    try:
        with gateway.connect() as client:
            client.ehlo("mail.example.net")
            return client.esmtp_features["size"]
    except (OSError, smtplib.SMTPException):
        return ""


def test_a_new_pattern_is_in_force_without_a_restart(
    gateway: Gateway, postfix: PostfixServer
) -> None:
    gateway.start()
    gateway.wait_until_done(gateway.send(DRAWING))
    with (gateway.root / "etc" / "matches.bad").open("a") as patterns:
        patterns.write("name=.*\\.drawing$\n")
    gateway.edited()
    gateway.wait_in("quarantine", gateway.send(DRAWING))


def test_a_bad_pattern_file_keeps_the_old_one_and_the_log_says_why(
    gateway: Gateway, postfix: PostfixServer
) -> None:
    gateway.start()
    path = gateway.root / "etc" / "matches.bad"
    number = path.read_text().count("\n") + 1
    with path.open("a") as patterns:
        patterns.write("\n")
    gateway.wait_in("quarantine", gateway.send(GAME))
    gateway.wait_until_done(gateway.send(letter("still passes")))
    (line,) = gateway.wait_for_log(rf"matches\.bad, line {number}, ")
    assert "scanmail" in line


def test_sighup_puts_new_settings_in_force(gateway: Gateway, postfix: PostfixServer) -> None:
    gateway.start()
    assert size_limit(gateway) == "52428800"
    gateway.configure("receiver", max_size='"20K"')
    gateway.reload()
    seen: list[str] = []

    def look() -> bool:
        seen.append(size_limit(gateway))
        return seen[-1] == "20480"

    until(look, "the new limit", tell=gateway.log)
    assert set(seen) <= {"52428800", "20480"}  # nobody was sent away meanwhile
    gateway.wait_for_log("event=reloaded", count=3)
    gateway.wait_until_done(gateway.send(letter("after the reload")))
    postfix.wait_for("bob@example.com")
    assert gateway.stop() == 0


def test_bad_settings_change_nothing_and_the_log_names_the_key(
    gateway: Gateway, postfix: PostfixServer
) -> None:
    gateway.start()
    gateway.configure("receiver", max_size='"much"')
    gateway.reload()
    lines = gateway.wait_for_log("event=not-reloaded", count=3)
    assert all("receiver.max_size" in line for line in lines)
    assert size_limit(gateway) == "52428800"
    gateway.wait_until_done(gateway.send(letter("goes on")))
    postfix.wait_for("bob@example.com")
