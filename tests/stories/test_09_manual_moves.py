"""An administrator moves files by hand, and it works."""

from __future__ import annotations

import shutil

import pytest
from gateway import Gateway
from letters import PROGRAM, letter, with_attachment
from postfix_server import PostfixServer

pytestmark = pytest.mark.real

GAME = with_attachment("Game", "game.exe", PROGRAM)


def test_a_message_moved_out_of_quarantine_is_delivered_without_our_mark(
    gateway: Gateway, postfix: PostfixServer
) -> None:
    gateway.start()
    queue_id = gateway.send(GAME)
    path = gateway.wait_in("quarantine", queue_id)
    path.rename(gateway.root / "outgoing" / queue_id)
    (arrived,) = postfix.wait_for("bob@example.com")
    assert arrived.endswith(GAME)
    assert b"X-Virus-Scanned" not in arrived
    assert arrived.startswith(b"Received: from mail.example.net ")
    gateway.wait_until_done(queue_id)


def test_a_message_moved_back_into_incoming_is_judged_again(
    gateway: Gateway, postfix: PostfixServer
) -> None:
    gateway.start()
    queue_id = gateway.send(GAME)
    path = gateway.wait_in("quarantine", queue_id)
    patterns = gateway.root / "etc" / "matches.bad"
    patterns.write_text(patterns.read_text().replace("name=.*\\.exe$\n", ""))
    rules = gateway.root / "etc" / "rules" / "executables.yar"
    rules.unlink()
    gateway.edited()
    path.rename(gateway.root / "incoming" / queue_id)
    (arrived,) = postfix.wait_for("bob@example.com")
    assert b"X-Virus-Scanned: " in arrived


def test_a_half_copied_message_waits_until_it_is_whole(
    gateway: Gateway, postfix: PostfixServer
) -> None:
    gateway.start()
    queue_id = gateway.send(GAME)
    path = gateway.wait_in("quarantine", queue_id)
    content = path.read_bytes()
    with (gateway.root / "outgoing" / queue_id).open("wb") as copy:
        copy.write(content[:-100])
        copy.flush()
        gateway.wait_until_done(gateway.send(letter("passes meanwhile")))
        (first,) = postfix.wait_for("bob@example.com")
        assert b"Subject: passes meanwhile" in first
        copy.write(content[-100:])
    gateway.send(letter("wakes the forwarder"))
    arrived = postfix.wait_for("bob@example.com", count=3)
    assert sum(mail.endswith(GAME) for mail in arrived) == 1


def test_a_copy_across_file_systems_by_cp_is_delivered_once(
    gateway: Gateway, postfix: PostfixServer
) -> None:
    gateway.start()
    queue_id = gateway.send(GAME)
    path = gateway.wait_in("quarantine", queue_id)
    shutil.copy(path, gateway.root / "outgoing" / queue_id)
    postfix.wait_for("bob@example.com")
    path.unlink()
    gateway.wait_until_done(queue_id)
    assert len(postfix.delivered("bob@example.com")) == 1


def test_a_message_deleted_by_hand_stops_nobody(gateway: Gateway, postfix: PostfixServer) -> None:
    gateway.start()
    postfix.stop()
    gone = gateway.send(letter("never to be seen"))
    waits = gateway.wait_in("outgoing", gone)
    gateway.wait_for_log(rf"{gone}: hop=")  # what is being sent is sent, whoever deletes it
    waits.unlink()
    stays = gateway.send(letter("to be seen"))
    gateway.wait_in("outgoing", stays)
    postfix.start()
    (arrived,) = postfix.wait_for("bob@example.com")
    assert b"Subject: to be seen" in arrived
