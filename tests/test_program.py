"""The box in which borrowed tools run: what they see, what they may, how long."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spoolscan.cli.specimens import PAYLOAD
from spoolscan.scanner.bounds import Bounds, Budget, LimitReached
from spoolscan.scanner.unpack import program
from spoolscan.scanner.unpack.meter import Meter

needs_box = pytest.mark.skipif(not program.box_works(), reason="needs bubblewrap, and leave to use")


def run(*argv: str, most: int | None = None, bounds: Bounds = Bounds()) -> program.Result:
    return program.run(argv, PAYLOAD, Meter(Budget(bounds), 1 << 20), most=most)


@needs_box
def test_a_program_finds_the_archive_and_little_else() -> None:
    assert run("/usr/bin/cat", program.ARCHIVE).output == PAYLOAD
    there = run("/usr/bin/ls", "/").output.decode().split()
    assert set(there) == {"dev", "etc", "in", "lib", "lib64", "proc", "tmp", "usr"}
    assert run("/usr/bin/ls", "/etc").output == b"passwd\n"
    assert run("/usr/bin/cat", "/proc/net/dev").output.count(b":") == 1  # loopback
    assert b"PYTEST" not in run("/usr/bin/env").output


@needs_box
@pytest.mark.parametrize("path", ["/in/archive", "/usr/new", "/etc/passwd", "/new"])
def test_a_program_writes_nothing(path: str) -> None:
    assert not run("/usr/bin/cp", "/usr/bin/true", path).good


@needs_box
def test_a_program_that_fails_is_not_good() -> None:
    assert not run("/usr/bin/false").good
    assert not run("/usr/bin/no-such-program").good
    assert not run("/usr/bin/yes", most=1 << 20).good
    assert not run("/usr/bin/sh", "-c", "kill -9 $$").good


@needs_box
def test_a_program_that_gives_no_end_meets_the_bounds() -> None:
    with pytest.raises(LimitReached, match="decoded bytes"):
        run("/usr/bin/yes", bounds=Bounds(decoded_bytes=1 << 20))


@needs_box
def test_a_program_that_hangs_meets_the_clock_and_leaves_nothing_running() -> None:
    def children() -> set[str]:
        return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())

    before = children()  # servers that other tests share, perhaps
    with pytest.raises(LimitReached, match="seconds"):
        run("/usr/bin/sh", "-c", "trap '' TERM; sleep 1000 & wait", bounds=Bounds(seconds=0.5))
    assert children() <= before
