"""The scanner is down: nothing passes, nothing is lost, and it flows when the scanner is back."""

from __future__ import annotations

import pytest
from clamd_server import EICAR, ClamdServer
from gateway import ADMIN, Gateway
from letters import letter, read, with_attachment
from postfix_server import PostfixServer

pytestmark = pytest.mark.real

OFFER = with_attachment("Offer", "offer.doc", b"an honest offer")


def test_mail_waits_while_clamd_is_down_and_flows_when_it_is_back(
    gateway: Gateway, postfix: PostfixServer, clamd: ClamdServer
) -> None:
    gateway.use_clamd(clamd)
    gateway.start()
    clamd.stop()
    clean = gateway.send(OFFER)
    virus = gateway.send(with_attachment("Offer", "offer.doc", EICAR))
    gateway.wait_for_log("event=trouble", count=3)
    assert postfix.delivered("bob@example.com") == []
    assert gateway.messages("outgoing") == []
    assert gateway.messages("quarantine") == []

    clamd.start()
    (arrived,) = postfix.wait_for("bob@example.com")
    assert arrived.endswith(OFFER)
    assert b"X-Virus-Scanned: " in arrived
    gateway.wait_in("quarantine", virus)
    gateway.wait_until_done(clean)


def test_a_gateway_started_without_its_scanner_takes_mail_and_keeps_it(
    gateway: Gateway, postfix: PostfixServer, clamd: ClamdServer
) -> None:
    gateway.use_clamd(clamd)
    clamd.stop()
    gateway.start()
    gateway.send(OFFER)
    gateway.wait_for_log("event=trouble")
    assert postfix.delivered("bob@example.com") == []
    clamd.start()
    postfix.wait_for("bob@example.com")


def test_the_administrator_is_told_once_when_it_lasts(
    gateway: Gateway, postfix: PostfixServer, clamd: ClamdServer
) -> None:
    gateway.use_clamd(clamd)
    gateway.configure("notices", trouble='"1s"')
    gateway.start()
    clamd.stop()
    gateway.send(OFFER)
    notice = read(postfix.wait_for(ADMIN)[0])
    assert notice["Subject"].startswith("[spoolscan] mail is waiting: engine clamd at unix:")
    assert "nothing passes unscanned" in notice.get_content()
    gateway.wait_for_log("event=trouble", count=gateway.log().count("event=trouble") + 2)
    clamd.start()
    postfix.wait_for("bob@example.com")
    assert len(postfix.delivered(ADMIN)) == 1


def test_mail_that_needs_no_scanner_does_not_wait_for_it(
    gateway: Gateway, postfix: PostfixServer, clamd: ClamdServer
) -> None:
    gateway.use_clamd(clamd)
    gateway.start()
    clamd.stop()
    gateway.send(letter("Lunch?"))
    postfix.wait_for("bob@example.com")
