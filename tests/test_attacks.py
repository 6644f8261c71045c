"""What a hostile sender, a hostile worker and a bad day did to the whole of it, once."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asking import Asked
from builders import disposer_of, envelope, put, spool_in

from spoolscan import config, log
from spoolscan.cli.init import lay_out
from spoolscan.cli.samples import EICAR, zipped
from spoolscan.config import Notices
from spoolscan.envelope import ScanMark
from spoolscan.errors import TemporaryFailure
from spoolscan.notices import Notifier, Templates
from spoolscan.scanner.answer import DecodedPart
from spoolscan.scanner.bounds import Bounds
from spoolscan.scanner.daemon import Scanner
from spoolscan.scanner.hand import WorkerDied
from spoolscan.scanner.trouble import Trouble
from spoolscan.spool import Message, Spool
from spoolscan.verdict import Finding, Report, Verdict

DOCUMENT = b"Content-Type: application/pdf; name=a.pdf\r\n\r\n%PDF-1.4 nothing in it\r\n"
POISON = DOCUMENT + b"this one is POISON\r\n"
INFECTED = b"Content-Type: a/b; name=a.doc\r\n\r\n" + EICAR + b"\r\n"

# An engine that has no answer to one message, and one that has none to any.
CHOKES = 'grep -q POISON "$1" && exit 99; exit 0'
DOWN = "exit 99"
KILLS = "kill -9 $PPID"


def lying(spool: Spool, state: str) -> list[str]:
    """The messages in a state, oldest first."""
    return [entry.queue_id for entry in spool.entries(state)]


class World:
    """A spool as laid out by init, and one scanner on it for several runs."""

    def __init__(self, folder: Path, script: str = "") -> None:
        root = folder / "spool"
        site = {"domains": ["example.com"], "networks": ["127.0.0.0/8"]}
        next_hop = f"maildir:{folder}/maildir"
        lay_out(root, {**site, "listen": ["127.0.0.1:0"], "next_hop": next_hop})
        if script:
            with (root / config.FILE).open("a") as file:
                file.write(
                    '\n[[engine]]\nkind = "command"\ncanary = false\n'
                    f"""argv = ["/bin/sh", "-c", '{script}', "sh", "{{file}}"]\n"""
                )
        settings = config.load(root)
        quick = settings.scanner.model_copy(update={"retry": 0.0, "workers": 1})
        self.spool = Spool(root)
        self.config = settings.model_copy(update={"scanner": quick})
        self.scanner = Scanner(self.spool, self.config)

    def scan(self) -> None:
        """Everything in incoming/ is tried once, due or not."""
        for entry in self.spool.entries("incoming"):
            self.spool.defer(self.spool.path("incoming", entry.queue_id), time.time() - 1)
        asyncio.run(self.scanner.run(asyncio.Event(), once=True))

    def claimed(self, mark: ScanMark) -> str:
        """A message in the hands of a scanner that died."""
        queue_id = put(self.spool, DOCUMENT)
        with self.spool.claim(queue_id) as message:
            message.mark_scan(mark)
        return queue_id

    def nothing_can_be_said_of(self, queue_id: str) -> None:
        """As on a full disk: its why.txt cannot be written."""
        os.mkdir(self.spool.path("hold", f"{queue_id}.why.txt"))


# -- messages that fail ----------------------------------------------------------------------------


def test_a_message_no_engine_answers_for_is_held_while_others_pass(tmp_path: Path) -> None:
    world = World(tmp_path, CHOKES)
    poison = put(world.spool, POISON)
    others = []
    for _ in range(5):
        world.scan()
        others.append(put(world.spool, DOCUMENT))
    world.scan()
    assert lying(world.spool, "hold") == [poison]
    assert "while others were" in Path(world.spool.path("hold", f"{poison}.why.txt")).read_text()
    assert set(others) <= set(lying(world.spool, "outgoing"))


def test_mail_waits_for_an_engine_that_is_down_however_much_harmless_mail_passes(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, DOWN)
    waiting = put(world.spool, DOCUMENT)
    harmless = []
    for _ in range(5):
        world.scan()
        harmless.append(put(world.spool))
    assert lying(world.spool, "incoming") == sorted([waiting, harmless[-1]])
    with world.spool.open("incoming", waiting) as message:
        assert message.envelope.scan.tries == 0


@pytest.fixture
def trouble(tmp_path: Path) -> Trouble:
    """One in which a notice is due at the second failure."""
    world = World(tmp_path)
    settings = world.config.model_copy(update={"notices": Notices(trouble=0.01)})
    notifier = Notifier(world.spool, Templates(settings.template_folders()), "gate.example.com")
    return Trouble(notifier, settings, world.spool.path("incoming"))


def test_harmless_mail_does_not_hide_from_the_administrator_that_an_engine_is_down(
    trouble: Trouble, tmp_path: Path
) -> None:
    trouble.met("a", "clamd is not there")
    time.sleep(0.02)
    trouble.over("b", engines_answered=False)
    assert lying(Spool(tmp_path / "spool"), "outgoing") == []
    trouble.met("c", "clamd is not there")
    assert len(lying(Spool(tmp_path / "spool"), "outgoing")) == 1


def test_nobody_rests_for_a_message_that_fails_by_itself(trouble: Trouble) -> None:
    assert not trouble.met("poison", "took too long")
    trouble.over("other", engines_answered=True)
    assert trouble.met("poison", "took too long")
    assert trouble.rest() == 0


def test_a_poison_message_that_cannot_be_held_does_not_stop_the_scanner(tmp_path: Path) -> None:
    world = World(tmp_path, KILLS)
    poison = put(world.spool, DOCUMENT)
    world.nothing_can_be_said_of(poison)
    harmless = []
    for _ in range(4):
        harmless.append(put(world.spool))
        world.scan()
    assert lying(world.spool, "outgoing") == harmless
    assert poison in lying(world.spool, "incoming") + lying(world.spool, "scanning")


def test_a_scanner_starts_though_what_it_finds_in_its_hands_cannot_be_held(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.nothing_can_be_said_of(world.claimed(ScanMark("-", 2)))
    harmless = put(world.spool)
    world.scan()
    assert harmless in lying(world.spool, "outgoing")


def test_the_administrator_is_told_once_of_a_message_that_cannot_be_moved(tmp_path: Path) -> None:
    world = World(tmp_path)
    put(world.spool, INFECTED)
    for day in (datetime.now(UTC), datetime.now(UTC) + timedelta(days=1)):
        Path(world.spool.path("quarantine", day.strftime("%Y-%m-%d"))).touch()
    for _ in range(3):
        world.scan()
    assert len(lying(world.spool, "incoming")) == 1
    assert len(lying(world.spool, "outgoing")) == 1


def test_mail_stamped_by_a_clock_that_ran_hours_ahead_is_scanned_now(tmp_path: Path) -> None:
    world = World(tmp_path)
    queue_id = put(world.spool)
    world.spool.defer(world.spool.path("incoming", queue_id), time.time() + 10 * 3600)
    asyncio.run(world.scanner.run(asyncio.Event(), once=True))
    assert lying(world.spool, "outgoing") == [queue_id]


def test_a_small_message_that_decodes_to_much_does_not_fill_the_quarantine(tmp_path: Path) -> None:
    world = World(tmp_path)
    archive = zipped({"a.doc": EICAR, "b.doc": b"some words " * 500_000})
    body = base64.encodebytes(archive).replace(b"\n", b"\r\n")
    head = b"Content-Type: a/b; name=a.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    queue_id = put(world.spool, head + body)
    world.scan()
    [folder] = Path(world.spool.root).glob(f"quarantine/*/{queue_id}_d")
    shown = [path.read_bytes() for path in folder.iterdir()]
    assert EICAR in shown
    assert sum(map(len, shown)) < 1_000_000


def test_what_failed_is_tried_again_after_what_came_meanwhile(tmp_path: Path) -> None:
    world = World(tmp_path, CHOKES)
    poison = put(world.spool, POISON)
    world.spool.defer(world.spool.path("incoming", poison), time.time() - 1)
    fresh = put(world.spool, DOCUMENT)
    world.spool.defer(world.spool.path("incoming", fresh), time.time() - 2)
    asyncio.run(world.scanner.run(asyncio.Event(), once=True))
    assert lying(world.spool, "outgoing") == [fresh]
    assert lying(world.spool, "incoming") == [poison]


def test_a_file_too_large_for_any_memory_is_held_unread(tmp_path: Path) -> None:
    world = World(tmp_path)
    queue_id = world.spool.ids.next()
    size = world.config.bounds.decoded_bytes + 1
    head = envelope().encode(queue_id, size)
    path = Path(world.spool.path("incoming", queue_id))
    path.write_bytes(head)
    os.truncate(path, len(head) + size)
    world.scan()
    assert lying(world.spool, "hold") == [queue_id]


# -- a worker that is somebody else's by now -------------------------------------------------------

HOSTILE_WORKER = """#!{python}
import json, os, socket, struct, sys, time
_, (number,), _, _ = socket.recv_fds(socket.socket(fileno=3), 65536, 1)  # as a nursery
control = socket.socket(fileno=number)
peer, theirs = socket.socketpair()
def say(data, *descriptors):
    socket.send_fds(peer, [struct.pack("!I", len(data)) + data], descriptors)
us = os.pidfd_open(os.getpid())
for data, shown in (b'{{"pid": 0}}', us), (b'{{"room": []}}', theirs.fileno()):
    socket.send_fds(control, [struct.pack("!I", len(data)) + data], [shown])
    os.close(shown)
theirs.detach()
peer.recv(65536)
{deed}
time.sleep(300)
"""

FINDING = '{"verdict": "infected", "path": [], "name": "x", "engine": "y"}'
PART = (
    '{"number": 1, "path": [], "names": [], "media_type": "", "size": SIZE, "sha256": null,'
    ' "suspicious": null}'
)
DEEDS = {
    "claims clean with findings": f"""
say(b'{{"report": {{"verdict": "clean", "parts": [], "findings": [{FINDING}]}}, "parts": []}}')""",
    "sends more descriptors than parts": """
report = {"verdict": "clean", "parts": [], "findings": []}
say(json.dumps({"report": report, "parts": []}).encode(), *[0] * 250)""",
    "nests so deep that reading it fails": 'say(b"[" * 200_000)',
    "shows a part and no descriptor": """
report = {"verdict": "clean", "parts": [], "findings": []}
say(json.dumps({"report": report, "parts": [{"path": [], "place": [0, 1]}]}).encode())""",
    "shows a part that is too large": """
report = {"verdict": "clean", "parts": [], "findings": []}
say(json.dumps({"report": report, "parts": [{"path": [], "place": [0, 1001]}]}).encode(), 0)""",
    "counts to infinity": f"""
part = '{PART}'.replace("SIZE", "1e999")
say(('{{"report": {{"verdict": "clean", "parts": [' + part + '], "findings": []}}, "parts": []}}')
    .encode())""",
    "drips": 'peer.sendall(bytes(3) + b"x")\nwhile True: time.sleep(0.1); peer.sendall(b" ")',
    "never answers": "",
    "promises four gigabytes": 'peer.sendall(b"\\xff" * 4)',
    "is no JSON": 'say(b"\\xff" * 10)',
    "ends": "sys.exit()",
}


def hostile_worker(
    folder: Path, deed: str, monkeypatch: pytest.MonkeyPatch, timeout: float
) -> Asked:
    script = folder / "worker"
    script.write_text(HOSTILE_WORKER.format(python=sys.executable, deed=deed))
    script.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(script))
    slow = config.Scanner(timeout=timeout)
    return Asked(config.Config(root=folder, scanner=slow, bounds=Bounds(decoded_bytes=1000)))


@pytest.fixture
def message(tmp_path: Path) -> Iterator[Message]:
    spool = spool_in(tmp_path / "spool")
    with spool.claim(put(spool)) as claimed:
        yield claimed


@pytest.mark.parametrize("deed", DEEDS)
def test_a_worker_that(
    deed: str, tmp_path: Path, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeout = 5.0 if deed in ("drips", "never answers") else 60.0
    worker = hostile_worker(tmp_path, DEEDS[deed], monkeypatch, timeout)
    before = os.listdir("/proc/self/fd")
    try:
        with pytest.raises(WorkerDied):
            worker.ask(message)
        worker.end()
        worker._own.stop()
        assert len(os.listdir("/proc/self/fd")) == len(before)  # nor does it keep anything open
    finally:
        worker.stop()


def test_a_part_that_cannot_be_read_is_empty_and_holds_nothing_up() -> None:
    reading, writing = os.pipe()
    part = DecodedPart(("a.exe",), reading, 0, 1000)
    try:
        assert part.read() == b""
    finally:
        os.close(reading)
        os.close(writing)


# -- what is said of it ----------------------------------------------------------------------------


def test_the_words_of_an_error_nobody_foresaw_cannot_forge_a_line_of_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    root = logging.getLogger("spoolscan")
    before = (root.handlers[:], root.level, root.propagate)
    log.setup("worker")
    try:
        raise LookupError("unknown encoding: \x1b[2J\nspoolscan/smtpd[1]: -: forged=yes")
    except LookupError as error:
        log.failure("worker", "-", error)
    finally:
        root.handlers[:], root.level, root.propagate = before
    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()
    assert "test_attacks.py:" in line


def test_a_disk_too_full_for_the_parts_costs_no_second_notice_to_the_sender_either(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    site = world.config.site
    settings = world.config.model_copy(update={"notices": Notices(sender=True)})
    disposer = disposer_of(world.spool, settings)
    report = Report(findings=[Finding(Verdict.INFECTED, (), "x", "y")])
    put(world.spool, sender=f"alice@{site.domains[0]}", peer_address="127.0.0.1")
    (entry,) = world.spool.entries("incoming")
    quarantine = Path(world.spool.path("quarantine"))
    quarantine.rename(tmp_path / "away")
    with world.spool.claim(entry.queue_id) as message:
        for _ in range(3):
            with pytest.raises(TemporaryFailure):
                disposer.dispose(message, report)
        assert len(lying(world.spool, "outgoing")) == 2
        (tmp_path / "away").rename(quarantine)
        disposer.dispose(message, report)
    assert len(lying(world.spool, "outgoing")) == 2
