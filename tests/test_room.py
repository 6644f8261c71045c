"""The locked room: nobody gets out, it says what it is, and one message's trouble is its own."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
from escapes import ATTEMPTS, Prey
from loopback import until
from test_scanner import CLEAN, DOCUMENT, World, attached

from spoolscan.cli.specimens import zipped
from spoolscan.errors import ConfigError
from spoolscan.scanner import room
from spoolscan.scanner.daemon import Scanner
from spoolscan.scanner.hand import TakenBack, WorkerDied
from spoolscan.scanner.room import kernel, landlock, seccomp
from spoolscan.verdict import Verdict

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
