"""Through the wall of the locked room: what may be asked of the open half, and what comes back."""

from __future__ import annotations

import base64
import gc
import math
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import corpus_rows
import escapes
import pytest
from asking import judge
from containers import patched

from spoolscan.cli.specimens import zipped
from spoolscan.scanner import inside, room, wire, words
from spoolscan.scanner.broker import Broker
from spoolscan.scanner.engines import Engine, Sample
from spoolscan.scanner.inspect import Tools, inspect
from spoolscan.scanner.patterns import Patterns
from spoolscan.scanner.room import identity
from spoolscan.scanner.unpack import commands, program
from spoolscan.verdict import Finding, Verdict

# Where tests run in parallel this process has threads, of which none is in the way of a child.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


class Forger(escapes.Hostile):
    """Asks the open half for something in words of its own."""

    def __init__(self, question: dict[str, Any], *descriptors: int) -> None:
        super().__init__(lambda _: self.forge(question, descriptors), None)  # type: ignore[arg-type] # it wants no prey

    def forge(self, question: dict[str, Any], descriptors: Sequence[int]) -> None:
        gc.unfreeze()
        [outside] = [one for one in gc.get_objects() if isinstance(one, inside._Outside)]
        outside.scratch.put(bytes(100))
        wire.send(outside.peer, question, descriptors)
        wire.receive(outside.peer)


RUN = {"run": 0, "word": "", "place": [0, 1], "most": 1, "seconds": 1}
FORGED = {
    "a shell": {**RUN, "run": ["/bin/sh", "-c", "true"]},
    "a program by its path": {**RUN, "run": "/bin/sh"},
    "a program that is not in the table": {**RUN, "run": 999},
    "a program counted from the end": {**RUN, "run": -1},
    "a program with words of its own": {**RUN, "word": ["-o", "/etc"]},
    "a program with a word that ends early": {**RUN, "word": "x\0y"},
    "a program for ever": {**RUN, "seconds": []},
    "a program's output without end": {**RUN, "most": 1e999},
    "bytes behind the scratch": {"scan": "known", "samples": [[0, 1 << 60]]},
    "bytes before the scratch": {"scan": "known", "samples": [[-1, 10]]},
    "bytes at no number": {"scan": "known", "samples": [["0", "1"]]},
    "the same bytes many times": {"scan": "known", "samples": [[0, 9]] * 2, "seconds": 1},
    "an engine that there is not": {"scan": "/bin/sh", "samples": []},
    "an engine by no name": {"scan": {}, "samples": []},
    "something else": {"open": "/etc/passwd"},
    "nothing": {},
}


@contextmanager
def half(tools: Tools, size: int = 1 << 24, **engines: Engine) -> Iterator[Broker]:
    broker = Broker(tools, engines, room.Plan(), size)
    try:
        yield broker
    finally:
        broker.stop()


def ask(broker: Broker, mail: bytes = escapes._MAIL) -> dict[str, Any]:
    with tempfile.TemporaryFile() as file:
        file.write(mail)
        file.flush()
        return judge(broker, file.fileno(), len(mail))


def with_engines(*engines: Engine) -> Tools:
    return Tools(bad=Patterns("bad"), doc=Patterns("doc"), engines=engines)


class Known:
    """An engine outside."""

    name = "known"

    def scan(self, samples: Sequence[Sample], deadline: float = math.inf) -> list[Finding]:
        found = [one for one in samples if b"%PDF" in one.data]
        findings = [Finding(Verdict.INFECTED, one.path, "pdf", self.name) for one in found]
        return [*findings, Finding(Verdict.BANNED, (), f"{os.getpid()}", self.name)]

    def awake(self) -> str:
        return "1"

    def close(self) -> None: ...


@pytest.mark.parametrize("name", FORGED)
def test_the_locked_half_cannot_ask_for(name: str) -> None:
    tools = with_engines(Forger(FORGED[name]))
    with half(tools, known=Known()) as broker, pytest.raises(wire.Broken, match="asked for"):
        ask(broker)


def test_a_command_is_known_by_its_number_and_the_word_in_its_blank(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = (("7zz", "t", "-p\0", "--"), ("7zz", "t", "--"), ("lsar", "-p", "\0", "x"))
    monkeypatch.setattr(commands, "COMMANDS", table)
    for argv in (["7zz", "t", "-psecret", "--"], ["7zz", "t", "--"], ["lsar", "-p", "", "x"]):
        assert commands.told(*commands.ask(argv)) == argv
    for argv in (["7zz", "x", "--"], ["7zz", "t", "--", "y"], ["lsar", "-p", "y", "z"]):
        with pytest.raises(ValueError, match="not run like that"):
            commands.ask(argv)


def test_descriptors_from_the_locked_half_are_not_kept() -> None:
    tools = with_engines(Forger({"scan": "known", "samples": [], "seconds": 1}, 0, 0, 0))
    with half(tools, known=Known()) as broker:
        ask(broker)
        before = os.listdir("/proc/self/fd")
        ask(broker)
        # Three more otherwise.  A scratch is kept until the half has said that it is done.
        assert len(os.listdir("/proc/self/fd")) <= len(before) + 1


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes the user of the room: needs root")
def test_a_verdict_comes_though_the_sockets_of_its_user_are_full_of_descriptors() -> None:
    with half(with_engines(Known()), known=Known()) as broker, clogged(room.Plan().user):
        answer = ask(broker)
    assert answer["report"]["verdict"] == "infected"
    assert answer["parts"] == []
    with half(with_engines(Known()), known=Known()) as broker:
        assert ask(broker)["parts"]


@contextmanager
def clogged(user: str) -> Iterator[None]:
    """With more descriptors under way than whoever has a room's limits may add to."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            identity.become(user)
            ours, _theirs = socket.socketpair()
            socket.send_fds(ours, [b"x"], [reading] * 200)
            os.write(writing, b"x")
            signal.pause()
        finally:
            os._exit(1)
    try:
        os.close(writing)
        assert os.read(reading, 1) == b"x"
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)


def test_an_engine_that_is_not_embedded_is_asked_outside_and_never_told_a_path() -> None:
    with half(with_engines(Known()), known=Known()) as broker:
        answer = ask(broker)
    [found, where] = answer["report"]["findings"]
    assert (found["path"], found["name"]) == (["a.pdf"], "pdf")
    assert (where["path"], where["name"]) == ([], str(os.getpid()))


def test_more_samples_than_the_scratch_holds_are_asked_for_in_turns() -> None:
    mail = b"Content-Type: multipart/mixed; boundary=x\r\n"
    for number in range(10):
        mail += b"\r\n--x\r\nContent-Type: application/pdf; name=%d.pdf\r\n\r\n" % number
        mail += b"%%PDF-1.%d" % number + bytes(3000)
    with half(with_engines(Known()), 10_000, known=Known()) as broker:
        answer = ask(broker, mail + b"\r\n--x--\r\n")
    found = [one["path"] for one in answer["report"]["findings"] if one["name"] == "pdf"]
    assert found == [[f"{number}.pdf"] for number in range(10)]
    assert 0 < len(answer["parts"]) < 10  # and the quarantine gets those that fit


@pytest.mark.skipif(not program.box_works(), reason="needs bubblewrap, and leave to use it")
@pytest.mark.skipif(shutil.which("7zz") is None, reason="no 7zz here: install 7zip")
def test_helper_programs_are_run_outside_for_the_room() -> None:
    deflate64 = patched(zipped(("a.pdf", b"%PDF-1.4 " * 100)), b"PK\1\2", 10, b"\x09\0")
    deflate64 = patched(deflate64, b"PK\3\4", 8, b"\x09\0")
    head = b"Content-Type: application/zip; name=a.zip\r\nContent-Transfer-Encoding: base64\r\n"
    mail = head + b"\r\n" + base64.encodebytes(deflate64)
    with half(with_engines()) as broker:
        answer = ask(broker, mail)
    assert answer["report"] == inspect(mail, with_engines()).report.as_dict()
    assert any(part["path"][-1] == "a.pdf" for part in answer["report"]["parts"])


def test_every_charset_is_read_in_the_room_as_outside() -> None:
    mail = b"Content-Type: multipart/mixed; boundary=x\r\n"
    for charset in sorted(set(words._CHARSETS.values())):
        name = base64.b64encode("a.exe".encode(charset, "replace")).decode()
        head = f'Content-Type: a/b; name="=?{charset}?b?{name}?="'
        mail += f"\r\n--x\r\n{head}\r\n\r\nx".encode()
    with half(with_engines()) as broker:
        answer = ask(broker, mail + b"\r\n--x--\r\n")
    assert len(answer["report"]["parts"]) > 80


@pytest.mark.corpus
@pytest.mark.skipif(corpus_rows.absent() is not None, reason=str(corpus_rows.absent()))
def test_the_corpus_is_read_in_the_room_as_outside() -> None:
    with half(with_engines(), 1 << 28) as broker:
        for number, row in enumerate(corpus_rows.rows()):
            if number % 20 and "crypt" not in row.path:  # those take the most borrowed code
                continue
            mail = row.mail()
            answer = ask(broker, mail)
            assert answer["report"] == inspect(mail, with_engines()).report.as_dict(), row.path
