"""The mail server inside is down, or wants to be asked again: mail waits, and arrives once."""

from __future__ import annotations

import smtplib

import pytest
from gateway import Gateway
from letters import letter
from postfix_server import PostfixServer

pytestmark = pytest.mark.real


def test_mail_waits_for_the_next_hop_and_arrives_once(
    gateway: Gateway, postfix: PostfixServer
) -> None:
    gateway.start()
    postfix.stop()
    messages = [letter(f"number {number}") for number in range(3)]
    queue_ids = [gateway.send(message) for message in messages]
    for queue_id in queue_ids:
        gateway.wait_in("outgoing", queue_id)

    postfix.start()
    arrived = postfix.wait_for("bob@example.com", count=3)
    gateway.wait_until_done(*queue_ids)
    for message in messages:
        assert sum(mail.endswith(message) for mail in arrived) == 1
    assert len(postfix.delivered("bob@example.com")) == 3


def test_a_recipient_who_is_deferred_holds_up_nobody_else(
    gateway: Gateway, postfix: PostfixServer
) -> None:
    gateway.configure("forwarder.retries", first='"1s"', shortest='"1s"', longest='"1s"')
    gateway.start()
    queue_id = gateway.send(letter("to two"), recipients=("full@example.com", "bob@example.com"))
    postfix.wait_for("bob@example.com")
    gateway.wait_for_log("452 4.2.2")
    gateway.send(letter("wakes the forwarder"))
    gateway.wait_for_log("452 4.2.2", count=2)
    postfix.wait_for("bob@example.com", count=2)
    envelope = (gateway.root / "outgoing" / queue_id).read_bytes().partition(b"\nBODY\n")[0]
    assert envelope.endswith(b"\nRCPT <full@example.com>\nSENT <bob@example.com>")
    assert sum(b"to two" in mail for mail in postfix.delivered("bob@example.com")) == 1


def test_mail_that_waited_survives_a_restart(gateway: Gateway, postfix: PostfixServer) -> None:
    gateway.start()
    postfix.stop()
    queue_id = gateway.send(letter("patience"))
    gateway.wait_in("outgoing", queue_id)
    assert gateway.stop() == 0
    with pytest.raises(ConnectionRefusedError):
        smtplib.SMTP("127.0.0.1", gateway.port)

    postfix.start()
    gateway.start()
    postfix.wait_for("bob@example.com")
    gateway.wait_until_done(queue_id)
