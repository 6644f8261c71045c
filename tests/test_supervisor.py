"""The supervisor, over small stages that are real processes: ready, restarted, ended, no orphan."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import spoolscan
from spoolscan.supervisor import Stage

# A stage: notes its process id, waits for NAME.go, says READY, and notes what signals it gets.
STAGE = """
import os, pathlib, signal, subprocess, sys, time
from spoolscan.ready import notify

folder, name = pathlib.Path(sys.argv[1]), sys.argv[2]

def note(file, word):
    with (folder / file).open("a") as notes:
        notes.write(word + "\\n")

def end(number, frame):
    note("ended", name)
    sys.exit(0)

signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGHUP, lambda number, frame: note("reloaded", name))
note(name + ".pids", str(os.getpid()))
if (folder / (name + ".broken")).exists():
    sys.exit(int((folder / (name + ".broken")).read_text() or 78))
if (folder / (name + ".liar")).exists():
    subprocess.run([sys.executable, "-c", "from spoolscan.ready import notify; notify('READY=1')"])
    note(name + ".lied", "")
while not (folder / (name + ".go")).exists():
    time.sleep(0.01)
notify("STATUS=nearly\\nREADY=1")
note(name + ".said", "")
while True:
    time.sleep(0.01)
"""

SUPERVISE = """
import asyncio, json, sys
from functools import partial
from spoolscan import log, supervisor
from spoolscan.errors import SpoolscanError

supervisor._FIRST_PAUSE = 0.01

async def supervise():
    stages = []
    for name, command in json.loads(sys.argv[1]):
        stages.append((name, command, partial(live, command) if name == "copy" else None))
    await supervisor.Supervisor(stages).run()

def live(command):
    sys.argv = command[2:]
    return exec(command[2], {})

log.setup("run")
try:
    asyncio.run(supervise())
except SpoolscanError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_status)
"""


def until(true: Callable[[], object]) -> None:
    while not true():
        time.sleep(0.005)


def _runs(pid: int) -> bool:
    """Whether it is a process, and not only the name of one that ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


class House:
    """A supervisor over stages, and a folder where they leave notes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        name = f"spoolscan-test-{uuid.uuid4()}"  # in no directory: paths of sockets are short
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(Path(spoolscan.__file__).parent.parent),
            "NOTIFY_SOCKET": f"@{name}",
        }
        self.systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.systemd.bind(f"\0{name}")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *stages: str, **others: list[str]) -> subprocess.Popen[bytes]:
        commands = [
            (name, [sys.executable, "-c", STAGE, str(self.folder), name]) for name in stages
        ]
        commands += list(others.items())
        with self.path("out").open("wb") as out, self.path("log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SUPERVISE, json.dumps(commands)],
                env=self._environment,
                stdout=out,
                stderr=log,
            )
        return self.process

    def go(self, *stages: str) -> None:
        for name in stages:
            self.path(f"{name}.go").touch()

    def path(self, name: str) -> Path:
        return self.folder / name

    def lines(self, name: str) -> list[str]:
        path = self.path(name)
        return path.read_text().splitlines() if path.exists() else []

    def pids(self, stage: str) -> list[int]:
        return [int(line) for line in self.lines(f"{stage}.pids")]

    def ready(self) -> None:
        until(lambda: self.lines("out") == ["READY"])

    def close(self) -> None:
        self.systemd.close()
        pids = [int(line) for path in self.folder.glob("*.pids") for line in self.lines(path.name)]
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        for pid in pids:
            if _runs(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


def test_ready_is_said_once_and_only_when_all_stages_have_said_so_themselves(
    house: House,
) -> None:
    house.path("b.liar").touch()
    house.start("a", "b")
    house.go("a")
    until(lambda: house.lines("a.said") and house.lines("b.lied"))
    assert house.lines("out") == []
    house.go("b")
    assert house.systemd.recv(100) == b"READY=1"
    house.ready()


def test_a_stage_that_dies_is_started_again_and_the_others_do_not_notice(house: House) -> None:
    house.go("a", "b")
    house.start("a", "b")
    house.ready()
    os.kill(house.pids("a")[0], signal.SIGKILL)
    until(lambda: len(house.lines("a.said")) == 2)
    assert len(house.pids("b")) == 1
    assert house.lines("out") == ["READY"]
    assert any("event=restart stage=a status=-9" in line for line in house.lines("log"))


def test_a_stage_may_begin_as_a_copy_and_goes_on_as_a_program_when_it_died(house: House) -> None:
    def shown() -> str:
        return Path(f"/proc/{house.pids('copy')[-1]}/cmdline").read_text()

    house.go("a", "copy")
    supervisor = house.start("a", "copy")
    house.ready()
    (first,) = house.pids("copy")
    assert {int(name) for name in os.listdir(f"/proc/{first}/fd")} == {0, 1, 2}
    words = f"{house.folder}\0copy\0"
    assert words + "\0" in shown()  # there is room behind it: it was longer once
    os.kill(first, signal.SIGKILL)
    until(lambda: len(house.lines("copy.said")) == 2)
    assert shown().endswith(words)
    os.kill(house.pids("copy")[-1], signal.SIGHUP)
    until(lambda: house.lines("reloaded") == ["copy"])
    supervisor.terminate()
    assert supervisor.wait() == 0
    assert house.lines("ended") == ["copy", "a"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_copy_hears_its_first_signal(house: House, number: signal.Signals) -> None:
    supervisor = house.start("copy")
    until(lambda: house.pids("copy"))
    supervisor.send_signal(number)
    assert supervisor.wait() == 0
    assert house.lines("ended") == ["copy"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_stages_the_last_one_first(house: House, number: signal.Signals) -> None:
    house.go("a", "b", "c")
    supervisor = house.start("a", "b", "c")
    house.ready()
    assert house.systemd.recv(100) == b"READY=1"
    supervisor.send_signal(number)
    assert supervisor.wait() == 0
    assert house.lines("ended") == ["c", "b", "a"]
    assert house.systemd.recv(100) == b"STOPPING=1"
    assert not any(_runs(pid) for name in "abc" for pid in house.pids(name))


def test_a_signal_before_all_are_ready_ends_them_too(house: House) -> None:
    supervisor = house.start("a", "b")
    until(lambda: house.pids("a") and house.pids("b"))
    supervisor.terminate()
    assert supervisor.wait() == 0
    assert sorted(house.lines("ended")) == ["a", "b"]
    assert house.lines("out") == []


def test_a_supervisor_that_is_killed_outright_leaves_no_orphan(house: House) -> None:
    house.go("a", "b")
    supervisor = house.start("a", "b")
    house.ready()
    supervisor.kill()
    supervisor.wait()
    until(lambda: sorted(house.lines("ended")) == ["a", "b"])
    until(lambda: not any(_runs(pid) for name in "ab" for pid in house.pids(name)))


@pytest.mark.parametrize("status", [75, 78])
def test_a_stage_that_says_why_it_cannot_start_ends_the_others_and_is_named(
    house: House, status: int
) -> None:
    house.path("b.broken").write_text(str(status))
    house.go("a")
    supervisor = house.start("a", "b")
    assert supervisor.wait() == status
    assert house.lines("log")[-1] == "b cannot start; its reason stands above"
    assert house.lines("out") == []
    assert not any(_runs(pid) for pid in house.pids("a"))


def test_a_bad_setting_later_on_does_not_end_what_runs(house: House) -> None:
    house.go("a", "b")
    house.start("a", "b")
    house.ready()
    house.path("b.broken").touch()
    os.kill(house.pids("b")[0], signal.SIGKILL)
    until(lambda: len(house.pids("b")) >= 3)
    house.path("b.broken").unlink()
    until(lambda: len(house.lines("b.said")) == 2)
    assert len(house.pids("a")) == 1


def test_a_hangup_is_passed_on_and_ends_nobody(house: House) -> None:
    house.go("a", "b")
    supervisor = house.start("a", "b")
    house.ready()
    supervisor.send_signal(signal.SIGHUP)
    until(lambda: sorted(house.lines("reloaded")) == ["a", "b"])
    assert supervisor.poll() is None
    assert house.lines("ended") == []


def test_a_program_that_cannot_be_started_for_now_is_tried_again(house: House) -> None:
    house.go("a")
    program = house.path("program")
    supervisor = house.start("a", b=[str(program), str(house.folder), "b"])
    until(lambda: any("not-started" in line for line in house.lines("log")))
    program.write_text(f"#!{sys.executable}\n{STAGE}")
    program.chmod(0o700)
    house.go("b")
    house.ready()
    supervisor.terminate()
    assert supervisor.wait() == 0


def test_a_process_whose_end_cannot_be_watched_is_not_left_running(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended: list[int] = []
    real = os.waitpid

    def waitpid(pid: int, options: int) -> tuple[int, int]:
        ended.append(pid)
        return real(pid, options)

    def full(pid: int) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(os, "waitpid", waitpid)
    monkeypatch.setattr(os, "pidfd_open", full)
    stage = Stage("sleeps", ["/bin/sleep", "100"], None, "@nobody")
    with pytest.raises(OSError, match="too many open files"):
        stage.start()
    assert stage.pid == 0
    (child,) = ended
    assert not Path(f"/proc/{child}").exists()
