"""What is not to be taken is refused in the session, with the code that says why."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gateway import INSIDE, Gateway
from letters import letter
from loopback import until
from postfix_server import PostfixServer

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def running(
    postfix_process: PostfixServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """One for all these tests: nothing that is refused leaves a trace."""
    postfix_process.start()
    root = tmp_path_factory.mktemp("gateway") / "spool"
    with Gateway(root, postfix_process.url) as gateway:
        gateway.configure("receiver", max_size='"20K"')
        gateway.start()
        yield gateway
        assert gateway.stop() == 0
        assert gateway.messages("tmp") == []


def test_an_unknown_domain_is_denied_to_outsiders_and_the_rest_of_the_mail_goes_on(
    running: Gateway, postfix: PostfixServer
) -> None:
    with running.connect() as client:
        client.ehlo("mail.example.net")
        client.mail("alice@example.net")
        assert client.rcpt("dora@example.org") == (550, b"5.7.1 relaying denied")
        assert client.rcpt("bob@sub.example.com") == (550, b"5.7.1 relaying denied")
        assert client.rcpt("dora%example.org@example.com") == (550, b"5.7.1 relaying denied")
        assert client.rcpt("bob@EXAMPLE.com")[0] == 250
        assert client.data(letter("for Bob"))[0] == 250
    postfix.wait_for("bob@example.com")


def test_a_peer_of_our_own_network_may_write_to_anybody(running: Gateway) -> None:
    with running.connect(INSIDE) as client:
        client.ehlo("desk.example.com")
        client.mail("alice@example.com")
        assert client.rcpt("dora@example.org")[0] == 250


def test_an_oversize_message_is_refused_as_declared_and_as_sent(running: Gateway) -> None:
    big = letter("big", "x" * 70 + "\n") + b"x" * 70 + b"\r\n" * 20_000
    with running.connect() as client:
        client.ehlo("mail.example.net")
        assert client.esmtp_features["size"] == "20480"
        assert client.mail("alice@example.net", ["SIZE=20481"])[0] == 552
        assert client.mail("alice@example.net", ["SIZE=100"])[0] == 250
        assert client.rcpt("bob@example.com")[0] == 250
        assert client.data(big)[0] == 552
        assert client.noop()[0] == 250
    assert running.messages("incoming") == []
    until(lambda: not running.messages("outgoing"), "what came before is gone")


def test_bad_syntax_is_told_as_such(running: Gateway) -> None:
    with running.connect() as client:
        assert client.docmd("MAIL", "FROM:<alice@example.net>")[0] == 503
        assert client.docmd("EHLO")[0] == 501
        client.ehlo("mail.example.net")
        assert client.docmd("MAIL", "FROM:alice@@example.net")[0] == 501
        assert client.docmd("MAIL", "TO:<alice@example.net>")[0] == 501
        assert client.docmd("RCPT", "TO:<bob@example.com>")[0] == 503
        assert client.docmd("XYZZY")[0] == 500
        assert client.docmd("VRFY", "bob")[0] == 252
        assert client.docmd("MAIL", "FROM:<alice@example.net>")[0] == 250
        assert client.docmd("RCPT", "TO:<>")[0] == 501
        assert client.docmd("DATA")[0] == 503


def test_a_bare_line_feed_is_refused_from_outside(running: Gateway) -> None:
    with running.connect() as client:
        client.ehlo("mail.example.net")
        client.mail("alice@example.net")
        client.rcpt("bob@example.com")
        assert client.docmd("DATA")[0] == 354
        client.send(b"Subject: smuggled\r\n\r\none\n.\nMAIL FROM:<x@example.net>\r\n.\r\n")
        assert client.getreply()[0] == 554
        assert client.noop()[0] == 250
