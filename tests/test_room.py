"""The locked room: nothing gets out, everything that should gets in, and it says what it is."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from escapes import ATTEMPTS, Prey

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
def ends() -> Iterator[Callable[[str], dict[str, str]]]:
    """How each attempt ends in a mode, found out once."""
    yield cache(outcomes)


@needs_root
@pytest.mark.parametrize("name", ATTEMPTS)
def test_from_the_locked_room_nobody_can(name: str, ends: Callable[[str], dict[str, str]]) -> None:
    assert ends("open")[name] == "succeeded"
    assert ends("locked")[name] != "succeeded"
