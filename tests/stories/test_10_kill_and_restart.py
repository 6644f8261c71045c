"""Whatever is killed, and whenever: what was answered with 250 arrives."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import smtplib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway import Gateway
from letters import letter, with_attachment
from loopback import answers, until
from postfix_server import PostfixServer

pytestmark = pytest.mark.real

_SUBJECT = re.compile(rb"^Subject: (number \d+)\r$", re.MULTILINE)


class Sender(threading.Thread):
    """Another site's mail server: sends one message after the other, each until it is taken."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__()
        self._gateway = gateway
        self.taken: list[bytes] = []
        self.enough = threading.Event()

    def run(self) -> None:
        while not self.enough.is_set():
            subject = f"number {len(self.taken)}"
            if self._send(letter(subject)):
                self.taken.append(subject.encode())
            else:
                time.sleep(0.05)

    def _send(self, message: bytes) -> bool:
        try:
            with smtplib.SMTP("127.0.0.1", self._gateway.port, timeout=30) as client:
                return client.sendmail("alice@example.net", ["bob@example.com"], message) == {}
        except (OSError, smtplib.SMTPException):
            return False


@pytest.fixture
def sender(gateway: Gateway) -> Iterator[Sender]:
    gateway.start()
    thread = Sender(gateway)
    thread.start()
    yield thread
    thread.enough.set()
    thread.join()


def all_arrived(sender: Sender, postfix: PostfixServer, gateway: Gateway) -> None:
    sender.enough.set()
    sender.join()
    subjects = set(sender.taken)

    def arrived() -> bool:
        mails = postfix.delivered("bob@example.com")
        return subjects == {found[1] for mail in mails if (found := _SUBJECT.search(mail))}

    until(arrived, f"all of {len(subjects)} messages", tell=gateway.log)
    for state in ("tmp", "incoming", "scanning", "outgoing", "hold", "quarantine"):
        until(lambda state=state: not gateway.messages(state), f"{state}/ is empty")


@pytest.mark.parametrize("stage", ["smtpd", "scanmail", "smtpfwdd"])
def test_a_stage_killed_under_load_comes_back_and_nothing_is_lost(
    sender: Sender, gateway: Gateway, postfix: PostfixServer, stage: str
) -> None:
    until(lambda: len(sender.taken) >= 5, "load", tell=gateway.log)
    first = gateway.process(stage)
    gateway.send_signal(stage, signal.SIGKILL)
    until(lambda: gateway.process(stage) not in (0, first), f"{stage} again", tell=gateway.log)
    before = len(sender.taken)
    until(lambda: len(sender.taken) >= before + 5, "load again", tell=gateway.log)
    all_arrived(sender, postfix, gateway)


def test_a_scanner_worker_killed_under_load_costs_nothing(
    sender: Sender, gateway: Gateway, postfix: PostfixServer
) -> None:
    until(lambda: len(sender.taken) >= 5, "load", tell=gateway.log)
    gateway.send_signal_to_worker(signal.SIGKILL)
    before = len(sender.taken)
    until(lambda: len(sender.taken) >= before + 5, "load again", tell=gateway.log)
    all_arrived(sender, postfix, gateway)


def test_their_nursery_killed_under_load_with_all_workers_costs_nothing(
    sender: Sender, gateway: Gateway, postfix: PostfixServer
) -> None:
    until(lambda: len(sender.taken) >= 5, "load", tell=gateway.log)
    for pid in (*gateway.nurseries(), *gateway.workers()):
        os.kill(pid, signal.SIGKILL)
    before = len(sender.taken)
    until(lambda: len(sender.taken) >= before + 5, "load again", tell=gateway.log)
    all_arrived(sender, postfix, gateway)


def test_with_the_supervisor_the_stages_end_and_the_next_start_goes_on(
    sender: Sender, gateway: Gateway, postfix: PostfixServer
) -> None:
    until(lambda: len(sender.taken) >= 5, "load", tell=gateway.log)
    stages = [gateway.process(stage) for stage in ("smtpd", "scanmail", "smtpfwdd")]
    workers = gateway.workers()
    gateway.kill()
    for pid in (*stages, *workers):
        until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), f"{pid} ends", tell=gateway.log)
    gateway.start()
    before = len(sender.taken)
    until(lambda: len(sender.taken) >= before + 5, "load again", tell=gateway.log)
    all_arrived(sender, postfix, gateway)


def test_a_message_in_the_hands_of_a_killed_scanner_is_taken_up_by_the_next(
    gateway: Gateway, postfix: PostfixServer
) -> None:
    gateway.start()
    (reader,) = until(gateway.readers, "a worker's locked half")
    os.kill(reader, signal.SIGSTOP)
    queue_id = gateway.send(letter("in hand"))
    gateway.wait_in("scanning", queue_id)
    gateway.send_signal("scanmail", signal.SIGKILL)
    os.kill(reader, signal.SIGKILL)
    (arrived,) = postfix.wait_for("bob@example.com")
    assert arrived.endswith(letter("in hand"))
    gateway.wait_for_log(rf"{queue_id}: event=recovered tries=1 to=incoming")


def test_a_message_that_keeps_killing_its_worker_is_set_aside_and_stops_nobody(
    gateway: Gateway, postfix: PostfixServer, tmp_path: Path
) -> None:
    """Its engine kills whoever asks it; a plain letter needs no engine."""
    gateway.configure(
        "[engine]",
        kind='"command"',
        argv="""["/bin/sh", "-c", "kill -9 $PPID", "{file}"]""",
        scratch=f'"{tmp_path}"',
        canary="false",
    )
    gateway.start()
    queue_id = gateway.send(with_attachment("poison", "offer.doc", b"poison"))
    path = gateway.wait_in("hold", queue_id)
    assert "died 3 times" in path.with_name(f"{queue_id}.why.txt").read_text()
    assert len(gateway.wait_for_log(rf"{queue_id}: event=worker-died")) == 3
    gateway.wait_until_done(gateway.send(letter("passes")))
    assert [letter("passes") in mail for mail in postfix.wait_for("bob@example.com")] == [True]


def test_a_message_half_received_when_the_receiver_is_killed_was_never_taken(
    gateway: Gateway, postfix: PostfixServer
) -> None:
    gateway.start()
    with contextlib.closing(gateway.connect()) as client:
        client.ehlo("mail.example.net")
        client.mail("alice@example.net")
        client.rcpt("bob@example.com")
        client.docmd("DATA")
        client.send(letter("cut short", "A small one has no file before its end.\n" * 5_000))
        until(lambda: gateway.messages("tmp"), "a draft", tell=gateway.log)
        gateway.send_signal("smtpd", signal.SIGKILL)
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.getreply()
    until(lambda: answers(gateway.port), "smtpd again", tell=gateway.log)
    gateway.wait_until_done(gateway.send(letter("whole")))
    assert [letter("whole") in mail for mail in postfix.wait_for("bob@example.com")] == [True]
    assert gateway.messages("tmp") == []
