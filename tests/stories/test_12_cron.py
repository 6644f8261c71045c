"""As in 2001: only smtpd runs all the time, and cron runs the rest from the spool's own bin/."""

from __future__ import annotations

import pytest
from clamd_server import ClamdServer
from gateway import ADMIN, Gateway
from letters import PROGRAM, letter, with_attachment
from loopback import until
from postfix_server import PostfixServer

pytestmark = pytest.mark.real


def test_each_run_takes_the_mail_one_state_further(
    gateway: Gateway, postfix: PostfixServer
) -> None:
    gateway.start_receiver()
    clean = gateway.send(letter("Lunch?"))
    banned = gateway.send(with_attachment("Game", "game.exe", PROGRAM))
    assert gateway.messages("incoming") == [clean, banned]

    done = gateway.script("scanmail", "--once")
    assert done.returncode == 0, done.stderr
    assert gateway.messages("incoming") == []
    assert gateway.messages("quarantine") == [banned]
    assert clean in gateway.messages("outgoing")

    done = gateway.script("smtpfwdd", "--once")
    assert done.returncode == 0, done.stderr
    assert gateway.messages("outgoing") == []
    postfix.wait_for("bob@example.com")
    postfix.wait_for(ADMIN)
    assert gateway.stop() == 0


def test_with_nothing_to_do_they_end_at_once_and_well(gateway: Gateway) -> None:
    for name in ("scanmail", "smtpfwdd"):
        done = gateway.script(name, "--once")
        assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_what_cannot_be_done_now_is_left_for_a_later_run(
    gateway: Gateway, postfix: PostfixServer, clamd: ClamdServer
) -> None:
    gateway.use_clamd(clamd)
    gateway.configure("forwarder.retries", first='"1s"', shortest='"1s"')
    gateway.start_receiver()
    queue_id = gateway.send(with_attachment("Offer", "offer.doc", b"an honest offer"))

    def cron(name: str) -> bool:
        """One run after the other; whether the message went on."""
        before = gateway.find(queue_id)
        gateway.script(name, "--once")
        return gateway.find(queue_id) != before

    clamd.stop()
    assert not cron("scanmail")
    clamd.start()
    until(lambda: cron("scanmail"), "scanmail takes it up again")
    assert gateway.messages("outgoing") == [queue_id]
    postfix.stop()
    assert not cron("smtpfwdd")
    postfix.start()
    until(lambda: cron("smtpfwdd"), "smtpfwdd takes it up again")
    assert gateway.find(queue_id) is None
    postfix.wait_for("bob@example.com")


def test_a_second_one_at_the_same_time_does_nothing_and_says_so(
    gateway: Gateway, postfix: PostfixServer
) -> None:
    gateway.start()
    for name in ("smtpd", "scanmail", "smtpfwdd"):
        done = gateway.script(name, *(["--once"] if name != "smtpd" else []))
        assert done.returncode == 75
        assert f"another {name} is running on this spool" in done.stderr
