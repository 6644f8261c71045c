"""The locked room: nothing gets out, everything that should gets in, and it says what it is."""

from __future__ import annotations

import base64
import dataclasses
import gc
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import corpus_rows
import escapes
import pytest
from asking import judge
from escapes import ATTEMPTS, Prey
from loopback import until
from test_scanner import CLEAN, DOCUMENT, World, attached

from spoolscan.cli.specimens import patched, zipped
from spoolscan.errors import ConfigError
from spoolscan.scanner import inside, room, wire, words
from spoolscan.scanner.broker import Broker
from spoolscan.scanner.daemon import Scanner
from spoolscan.scanner.engines import Engine, Sample
from spoolscan.scanner.hand import TakenBack, WorkerDied
from spoolscan.scanner.inspect import Tools, inspect
from spoolscan.scanner.patterns import Patterns
from spoolscan.scanner.room import identity, kernel, landlock, seccomp
from spoolscan.scanner.unpack import commands, program
from spoolscan.verdict import Finding, Verdict

# Where tests run in parallel this process has threads, of which none is in the way of a child.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

TESTS = Path(__file__).parent
needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="without root, most attempts fail in any case: nothing to compare"
)


def sleeper() -> subprocess.Popen[bytes]:
    """A process of the user that the locked half becomes."""
    return subprocess.Popen(["sleep", "600"], user="nobody", group="nogroup", extra_groups=[])


def outcomes(mode: str) -> dict[str, str]:
    """How each attempt ends."""
    with ExitStack() as stack:
        place = Path(tempfile.mkdtemp())
        stack.callback(shutil.rmtree, place)
        place.chmod(0o777)
        (place / "folder").mkdir()
        for name in ("file", "message"):
            (place / name).write_text("x")
            (place / name).chmod(0o666)
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        unix, abstract = (stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2))
        unix.bind(str(place / "socket"))
        (place / "socket").chmod(0o777)
        abstract.bind("")
        for server in (unix, abstract):
            server.listen()
        sleepers = [stack.enter_context(sleeper()) for _ in range(2)]
        for process in sleepers:
            stack.callback(process.kill)
        prey = Prey(
            str(place),
            tcp.getsockname()[1],
            str(place / "socket"),
            abstract.getsockname()[1:].decode(),
            *(process.pid for process in sleepers),
        )
        done = subprocess.run(
            [sys.executable, TESTS / "escapes.py", mode, json.dumps(dataclasses.asdict(prey))],
            capture_output=True, text=True, check=False, timeout=100,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def ends() -> Callable[[str], dict[str, str]]:
    """How each attempt ends in a mode, found out once."""
    return cache(outcomes)


@needs_root
@pytest.mark.parametrize("name", ATTEMPTS)
def test_from_the_locked_room_nobody_can(name: str, ends: Callable[[str], dict[str, str]]) -> None:
    assert ends("open")[name] == "succeeded"
    assert ends("locked")[name] != "succeeded"


@needs_root
def test_nor_from_that_of_a_worker_that_was_not_started_as_root(
    ends: Callable[[str], dict[str, str]],
) -> None:
    assert [name for name, end in ends("unprivileged").items() if end == "succeeded"] == []


@needs_root
@pytest.mark.parametrize("measure", ["user", "landlock"])
def test_where_a_kernel_lacks_one_measure_the_others_keep_it_shut(
    measure: str, ends: Callable[[str], dict[str, str]]
) -> None:
    found = ends(f"without {measure}")
    assert [name for name, end in found.items() if end == "succeeded"] == []


@needs_root
def test_without_limits_memory_is_all_that_can_be_had(
    ends: Callable[[str], dict[str, str]],
) -> None:
    found = ends("without limits")
    assert [name for name, end in found.items() if end == "succeeded"] == ["eat memory"]


@needs_root
def test_without_seccomp_no_file_no_program_and_no_other_process_is_in_reach(
    ends: Callable[[str], dict[str, str]],
) -> None:
    found = ends("without seccomp")
    assert {name for name, end in found.items() if end == "succeeded"} <= {
        # Landlock knows no right to these.
        *("look whether a file is there", "go to a directory"),
        *("send by udp", "connect to a unix socket", "talk to the kernel by netlink"),
        # Of the process itself, and within its limits.
        *("make a user namespace", "outlive the worker", "put something into a keyring"),
        *("eat memory that no limit counts", "share memory", "share memory by a key"),
        *("map new code", "make data into code"),
    }


# -- what it says of itself ------------------------------------------------------------------------


def test_it_says_what_is_in_force_by_trying_it() -> None:
    before = os.getuid(), Path("/proc/self/status").read_text().partition("Seccomp:")[2][:3]
    measures = room.in_force(room.Plan())
    assert [measure.name for measure in measures] == list(room.REMEDIES)
    assert all(measure.in_force for measure in measures), measures
    after = os.getuid(), Path("/proc/self/status").read_text().partition("Seccomp:")[2][:3]
    assert after == before  # whoever asks is not shut in


def test_what_is_lacking_comes_with_its_reason_and_a_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: kernel.call("no such call"))
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="pdp11"))
    lacking = [one for one in room.in_force(room.Plan()) if not one.in_force]
    assert [one.name for one in lacking] == ["privileges", "landlock", "seccomp"]
    assert "pdp11" in lacking[-1].detail
    assert "x86_64 or aarch64" in lacking[-1].remedy


@needs_root
def test_a_room_for_nobody_known_is_a_mistake_in_the_settings(tmp_path: Path) -> None:
    world = World(tmp_path)
    for user, reason in (("no-such-user", "no account"), ("root", "is root")):
        settings = world.config.scanner.model_copy(update={"user": user})
        with pytest.raises(ConfigError, match=f"scanner.user.*{reason}"):
            Scanner(world.spool, world.config.model_copy(update={"scanner": settings}))


def test_the_stage_says_once_what_is_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "spoolscan.scanner")
    World(tmp_path).scan()
    [line] = [record for record in caplog.records if "event=room" in record.getMessage()]
    assert (line.levelname, "lacking=-" in line.getMessage()) == ("INFO", True)
    assert "seccomp" in line.getMessage()


def test_the_stage_says_loudly_that_the_room_is_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    World(tmp_path, in_scanner='room = "off"').scan()
    [line] = [record for record in caplog.records if "event=room" in record.getMessage()]
    assert (line.levelname, "in_force=-" in line.getMessage()) == ("WARNING", True)


LACKING_NURSERY = """#!{python}
import os, socket
from spoolscan.scanner import wire
held = []
with socket.socket(fileno=3) as nursery:
    while frame := wire.receive(nursery):
        control = socket.socket(fileno=frame[1][0])
        peer, theirs = socket.socketpair()
        held += [control, peer]
        end = os.pidfd_open(os.posix_spawn("/bin/true", ["true"], {{}}))
        wire.send(control, {{"pid": 0}}, [end])
        measure = {{"name": "landlock", "in_force": False, "detail": "Function not implemented"}}
        wire.send(control, {{"room": [measure]}}, [theirs.fileno()])
"""


@pytest.mark.parametrize("setting", ["best", "required"])
def test_where_the_room_is_required_nothing_starts_without_all_of_it(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, in_scanner=f'room = "{setting}"')
    script = tmp_path / "nursery"
    script.write_text(LACKING_NURSERY.format(python=sys.executable))
    script.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(script))
    if setting == "best":
        world.scan()
    else:
        with pytest.raises(ConfigError, match=r"no landlock: .* not implemented; Linux 5\.13"):
            world.scan()


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_call_that_is_allowed_has_a_number_on_every_machine(
    machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=machine))
    numbers = kernel.numbers()
    missing = {*seccomp.ALLOWED, *seccomp.UNLESS} - set(numbers)
    assert missing == (set() if machine == "x86_64" else {"poll"})  # it has ppoll alone
    assert len(set(numbers.values())) == len(numbers)
    assert len(seccomp.program(machine, numbers)) % 8 == 0


# -- what goes through the wall -------------------------------------------------------------------


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


# -- one message's trouble ------------------------------------------------------------------------

LITTLE_MEMORY = 'memory = "256M"'


def test_a_message_that_eats_memory_costs_itself_an_attempt_and_nobody_else_anything(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, in_scanner=LITTLE_MEMORY)
    bounds = replace(world.config.bounds, ratio=100_000, decoded_bytes=1 << 30)
    world.config = world.config.model_copy(update={"bounds": bounds})
    worker = world.worker()
    try:
        bomb = world.claimed(attached(zipped(("a.bin", bytes(300 << 20))), "a.zip"))
        with bomb, pytest.raises(WorkerDied):
            worker.ask(bomb)
        with world.claimed(CLEAN) as message, worker.ask(message) as answer:
            assert answer.report.verdict is Verdict.CLEAN
    finally:
        worker.stop()


def test_the_locked_half_dies_with_its_worker_and_the_worker_with_it(tmp_path: Path) -> None:
    worker = World(tmp_path).worker()
    for victim in ("worker", "locked half"):
        worker.prepare()
        pid = worker.pid
        [locked] = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        os.kill(pid if victim == "worker" else locked, signal.SIGKILL)
        if victim == "worker":
            until(lambda locked=locked: not Path(f"/proc/{locked}/status").exists(), "its end")
            worker.end()
        else:
            ends = pytest.raises((WorkerDied, TakenBack))  # as it had the message by then, or not
            with World(tmp_path / "2").claimed(CLEAN) as message, ends:
                worker.ask(message)
    worker.stop()


def test_edited_patterns_and_rules_count_soon(tmp_path: Path) -> None:
    world = World(tmp_path)
    worker = world.worker()

    def verdict() -> Verdict:
        with world.claimed(DOCUMENT) as message, worker.ask(message) as answer:
            return answer.report.verdict

    try:
        assert verdict() is Verdict.CLEAN
        (world.root / "etc/rules/new.yar").write_text(
            'rule new { strings: $a = "PDF" condition: $a }'
        )
        until(lambda: verdict() is Verdict.INFECTED, "the new rule")
        with (world.root / "etc/matches.bad").open("a") as file:
            file.write("name=a[.]pdf\n")
        until(lambda: verdict() is Verdict.BANNED, "the new pattern")
    finally:
        worker.stop()
