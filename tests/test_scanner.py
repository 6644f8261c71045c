"""The scanner stage over a real spool, with real workers: every message ends where it belongs."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from pathlib import Path

import pytest
from asking import Asked

from spoolscan import config
from spoolscan.cli.init import lay_out
from spoolscan.cli.samples import EICAR, encrypted, zipped
from spoolscan.envelope import Envelope, Recipient
from spoolscan.errors import TemporaryFailure
from spoolscan.scanner.daemon import Scanner
from spoolscan.scanner.hand import WorkerDied
from spoolscan.spool import Message, Spool
from spoolscan.verdict import Verdict

CLEAN = b"Subject: hi\r\n\r\nhello\r\n"
DOCUMENT = b"Content-Type: application/pdf; name=a.pdf\r\n\r\n%PDF-1.4 nothing in it\r\n"


def attached(content: bytes, name: str) -> bytes:
    head = f"Content-Type: a/b; name={name}\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return head.encode() + base64.encodebytes(content).replace(b"\n", b"\r\n")


class World:
    """A spool laid out as by init, with settings put behind the shipped ones."""

    def __init__(self, root: Path, extra: str = "", in_scanner: str = "") -> None:
        self.root = root / "spool"
        site = {"domains": ["example.com"], "networks": ["127.0.0.0/8"], "listen": ["127.0.0.1:0"]}
        lay_out(self.root, {**site, "next_hop": f"maildir:{root}/maildir"})
        path = self.root / config.FILE
        text = path.read_text().replace("[scanner]\n", f"[scanner]\n{in_scanner}\n")
        path.write_text(text + extra)
        self.config = config.load(self.root)
        self.spool = Spool(self.root)

    def receive(self, content: bytes) -> str:
        draft = self.spool.draft(Envelope("a@example.net", (Recipient("b@example.com"),)))
        draft.write(content)
        return draft.commit()

    def scan(self) -> None:
        """As `scanmail --once` does."""
        asyncio.run(Scanner(self.spool, self.config).run(asyncio.Event(), once=True))

    def scan_again(self, queue_id: str) -> None:
        self.spool.defer(self.spool.path("incoming", queue_id), time.time() - 1)
        self.scan()

    def state(self, queue_id: str) -> str:
        [path] = [path for path in self.root.rglob(queue_id) if path.is_file()]
        return str(path.parent.relative_to(self.root)).partition("/")[0]

    def claimed(self, content: bytes) -> Message:
        return self.spool.claim(self.receive(content))

    def worker(self, timeout: float = 60.0) -> Asked:
        settings = self.config.scanner.model_copy(update={"timeout": timeout})
        return Asked(self.config.model_copy(update={"scanner": settings}))


COMMAND = """
[[engine]]
kind = "command"
canary = false
argv = ["/bin/sh", "-c", '{script}', "sh", "{{file}}"]
timeout = "30s"
"""


def command(script: str) -> str:
    return COMMAND.format(script=script)


def told(world: World) -> list[str]:
    """The messages of which the administrator was told that they are held."""
    found = []
    for entry in world.spool.entries("outgoing"):
        with world.spool.open("outgoing", entry.queue_id) as message:
            text = message.read().decode()
        if "set aside: " in text:
            found.append(text.partition("set aside: ")[2].split()[0])
    return found


def test_each_message_goes_where_its_verdict_says(tmp_path: Path) -> None:
    world = World(tmp_path)
    ids = {
        "outgoing": world.receive(CLEAN),
        "quarantine": world.receive(attached(EICAR, "a.doc")),
        "hold": world.receive(attached(encrypted(zipped({"a.txt": b"x"})), "a.zip")),
    }
    world.scan()
    assert {state: world.state(queue_id) for state, queue_id in ids.items()} == {
        state: state for state in ids
    }
    assert not world.spool.entries("scanning")


def test_the_decoded_parts_lie_beside_a_quarantined_message(tmp_path: Path) -> None:
    world = World(tmp_path)
    queue_id = world.receive(attached(zipped({"letter.doc": EICAR}), "a.zip"))
    world.scan()
    [folder] = world.root.glob(f"quarantine/*/{queue_id}_d")
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert EICAR in found.values()
    assert all(name.endswith(".part") for name in found)
    why = Path(str(folder).removesuffix("_d") + ".why.txt").read_text()
    assert all(name in why for name in found)


def test_a_scanner_that_is_down_keeps_mail_waiting(tmp_path: Path) -> None:
    world = World(tmp_path, command("exit 99"))
    queue_id = world.receive(DOCUMENT)
    world.scan()
    assert world.state(queue_id) == "incoming"
    [entry] = world.spool.entries("incoming")
    assert not entry.is_due(time.time())
    with world.spool.open("incoming", queue_id) as message:
        assert message.envelope.scan.tries == 0


def test_with_no_pause_between_attempts_a_single_run_still_ends(tmp_path: Path) -> None:
    world = World(tmp_path, command("exit 99"))
    settings = world.config.scanner.model_copy(update={"retry": 0.0})
    world.config = world.config.model_copy(update={"scanner": settings})
    queue_id = world.receive(DOCUMENT)
    world.scan()
    assert world.state(queue_id) == "incoming"


def test_what_a_killed_scan_left_behind_is_removed(tmp_path: Path) -> None:
    world = World(tmp_path)
    left = world.root / "var" / "scratch-x" / "samples"
    left.mkdir(parents=True)
    world.scan()
    assert not left.parent.exists()


def test_a_virus_counts_though_another_scanner_is_down(tmp_path: Path) -> None:
    world = World(tmp_path, command("exit 99"))
    queue_id = world.receive(attached(EICAR, "a.doc"))
    world.scan()
    assert world.state(queue_id) == "quarantine"


def test_a_message_that_kills_its_worker_is_held_after_three_attempts(tmp_path: Path) -> None:
    world = World(tmp_path, command("kill -9 $PPID"))
    queue_id, other = world.receive(DOCUMENT), world.receive(CLEAN)
    for _ in range(3):
        assert world.state(queue_id) == "incoming"
        world.scan()
    assert world.state(other) == "outgoing"
    assert world.state(queue_id) == "hold"
    assert told(world) == [queue_id]
    assert "died 3 times" in Path(world.spool.path("hold", f"{queue_id}.why.txt")).read_text()


def test_what_was_in_hand_at_a_crash_is_taken_up_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.claimed(CLEAN).close()
    [entry] = world.spool.entries("scanning")
    world.scan()
    assert world.state(entry.queue_id) == "outgoing"


def test_a_file_that_is_no_message_is_held_with_its_reason(tmp_path: Path) -> None:
    world = World(tmp_path)
    queue_id = world.receive(CLEAN)
    path = Path(world.spool.path("incoming", queue_id))
    path.write_bytes(path.read_bytes().replace(b"SCAN ", b"SCAM ", 1))
    world.scan()
    assert world.state(queue_id) == "hold"
    assert told(world) == [queue_id]
    assert "line 3" in Path(world.spool.path("hold", f"{queue_id}.why.txt")).read_text()


def test_a_half_copied_file_is_left_alone_until_it_is_whole(tmp_path: Path) -> None:
    world = World(tmp_path)
    queue_id = world.receive(CLEAN)
    path = Path(world.spool.path("incoming", queue_id))
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    world.scan()
    assert world.state(queue_id) == "incoming"
    path.write_bytes(whole)
    world.scan()
    assert world.state(queue_id) == "outgoing"


def test_a_message_nobody_could_judge_for_days_is_held(tmp_path: Path) -> None:
    world = World(tmp_path, command("exit 99"))
    settings = world.config.scanner.model_copy(update={"give_up": 0.0})
    world.config = world.config.model_copy(update={"scanner": settings})
    queue_id = world.receive(DOCUMENT)
    time.sleep(1.1)  # the envelope's date has whole seconds
    world.scan()
    assert world.state(queue_id) == "hold"


def test_an_age_is_believed_at_the_second_attempt_after_a_leap_of_the_clock(tmp_path: Path) -> None:
    world = World(tmp_path, command("exit 99"))
    settings = world.config.scanner.model_copy(update={"give_up": 0.0})
    world.config = world.config.model_copy(update={"scanner": settings})
    queue_id = world.receive(DOCUMENT)
    for days, state in ((3650, "incoming"), (0, "hold")):
        due = time.time() - days * 86_400
        os.utime(world.spool.path("incoming", queue_id), (due, due))
        time.sleep(1.1)  # the envelope's date has whole seconds
        world.scan()
        assert world.state(queue_id) == state


def test_a_worker_answers_with_report_and_parts(tmp_path: Path) -> None:
    world = World(tmp_path)
    worker = world.worker()
    try:
        with world.claimed(attached(EICAR, "a.doc")) as message, worker.ask(message) as answer:
            assert answer.report.verdict is Verdict.INFECTED
            assert [(part.path, part.read()) for part in answer.parts] == [(("a.doc",), EICAR)]
        with world.claimed(CLEAN) as message, worker.ask(message) as answer:
            assert (answer.report.verdict, answer.parts) == (Verdict.CLEAN, [])
    finally:
        worker.stop()


def test_a_worker_that_hangs_is_ended_and_replaced(tmp_path: Path) -> None:
    world = World(tmp_path, command("sleep 25"))
    worker = world.worker(timeout=3.0)
    try:
        worker.prepare()
        with world.claimed(DOCUMENT) as message, pytest.raises(WorkerDied, match="in time"):
            worker.ask(message)
        with world.claimed(CLEAN) as message, worker.ask(message) as answer:
            assert answer.report.verdict is Verdict.CLEAN
    finally:
        worker.stop()


def test_a_worker_that_cannot_start_is_no_fault_of_the_message(tmp_path: Path) -> None:
    world = World(tmp_path)
    (world.root / "etc" / "matches.bad").write_text("\n")
    worker = world.worker()
    with world.claimed(CLEAN) as message, pytest.raises(TemporaryFailure, match="cannot start"):
        worker.ask(message)
    worker.stop()


def test_a_copy_in_the_way_of_one_message_stops_no_other(tmp_path: Path) -> None:
    world = World(tmp_path)
    stuck, other = world.receive(CLEAN), world.receive(CLEAN)
    incoming = Path(world.spool.path("incoming", stuck))
    Path(world.spool.path("scanning", stuck)).write_bytes(incoming.read_bytes())
    os.utime(incoming, (time.time() + 3600,) * 2)  # it is not to be tried now, and lies there
    world.scan()
    assert world.state(other) == "outgoing"
    assert Path(world.spool.path("scanning", stuck)).exists()
