"""The mail server inside refuses for good: the sender is told; where nobody can be, it is kept."""

from __future__ import annotations

import pytest
from gateway import INSIDE, Gateway
from letters import letter, read
from postfix_server import PostfixServer

pytestmark = pytest.mark.real


def test_the_sender_gets_a_report_with_the_words_of_the_next_hop(
    gateway: Gateway, postfix: PostfixServer
) -> None:
    gateway.start()
    queue_id = gateway.send(
        letter("Hello?"),
        sender="alice@example.com",
        recipients=("nobody@example.com", "bob@example.com"),
        peer=INSIDE,
    )
    (raw,) = postfix.wait_for("alice@example.com")
    postfix.wait_for("bob@example.com")
    gateway.wait_until_done(queue_id)

    report = read(raw)
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    assert report["To"] == "alice@example.com"
    assert report["Auto-Submitted"] == "auto-replied"
    text, status, header = report.get_payload()
    assert "<nobody@example.com>" in text.get_payload()
    assert "<bob@example.com>" not in text.get_payload()
    assert status.get_content_type() == "message/delivery-status"
    whole, recipient = status.get_payload()
    assert whole["Reporting-MTA"] == "dns; gate.example.com"
    assert recipient["Final-Recipient"] == "rfc822; nobody@example.com"
    assert recipient["Action"] == "failed"
    assert recipient["Status"] == "5.1.1"
    assert recipient["Diagnostic-Code"].startswith("smtp; 550 5.1.1 <nobody@example.com>")
    assert "Subject: Hello?" in header.as_string()


def test_a_report_that_cannot_be_delivered_is_held_and_makes_no_other(
    gateway: Gateway, postfix: PostfixServer
) -> None:
    gateway.start()
    queue_id = gateway.send(letter("a report"), sender="", recipients=["nobody@example.com"])
    path = gateway.wait_in("hold", queue_id)
    why = path.with_name(f"{queue_id}.why.txt").read_text()
    assert "550 5.1.1 <nobody@example.com>" in why
    assert gateway.messages("outgoing") == []
    assert b"\nRCPT <nobody@example.com>\nBODY\n" in path.read_bytes()


def test_moved_back_it_is_tried_again(gateway: Gateway, postfix: PostfixServer) -> None:
    gateway.start()
    queue_id = gateway.send(letter("a report"), sender="", recipients=["nobody@example.com"])
    path = gateway.wait_in("hold", queue_id)
    path.write_bytes(path.read_bytes().replace(b"RCPT <nobody@", b"RCPT <bob@"))
    path.rename(gateway.root / "outgoing" / queue_id)
    postfix.wait_for("bob@example.com")
