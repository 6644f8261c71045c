"""The forwarder killed at random moments: a little of tests/bench/kill_forwarder.py."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import kills
import pytest
from smtp_peer import Peer

from spoolscan.envelope import Envelope, Recipient

_CALL = re.compile(r"(\d+) +(?:<\.\.\. )?(\w+)")
_OF_MEMORY = {"mmap", "munmap", "mremap", "brk", "madvise"}


def test_nobody_is_lost_and_only_those_in_flight_get_it_twice(tmp_path: Path) -> None:
    tally = kills.run(tmp_path, 10, 1)
    assert tally.kills == 10
    assert tally.lost == 0
    assert tally.duplicates <= len(tally.in_flight)


def test_a_loss_and_a_duplicate_too_many_are_seen() -> None:
    assert kills.Tally(everybody=2, delivered=Counter("a")).wrong
    assert kills.Tally(everybody=1, delivered=Counter("aa")).wrong
    assert not kills.Tally(everybody=1, in_flight={("a", 1)}, delivered=Counter("aa")).wrong


@pytest.mark.real
def test_between_the_answer_and_the_marks_lies_nothing_that_waits(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("no strace here: install strace to run this test")
    trace, root = tmp_path / "trace", tmp_path / "spool"
    root.mkdir(mode=0o700)

    async def main() -> None:
        async with Peer({"END": "250 2.0.0 taken"}) as peer:
            spool = kills.lay_out(root, peer.port)
            with (root / "etc" / "spoolscan.toml").open("a") as settings:
                settings.write("\n[journal]\nenabled = false\n")  # whose database is synced, too
            to = tuple(Recipient(f"r{number}@example.com") for number in range(3))
            draft = spool.draft(Envelope("a@example.org", to))
            draft.write(b"Subject: x\r\n\r\nhello\r\n")
            draft.commit(to="outgoing")
            words = ["strace", "-f", "-o", str(trace), sys.executable, "-m", "spoolscan"]
            words += ["--spool", str(root), "smtpfwdd", "--once"]
            await asyncio.to_thread(subprocess.run, words, check=True, capture_output=True)

    asyncio.run(main())
    lines = trace.read_text("utf-8", "replace").splitlines()
    answer = next(number for number, line in enumerate(lines) if '"250 2.0.0 taken' in line)
    marks = [
        number for number, line in enumerate(lines) if "pwrite64(" in line and '"SENT"' in line
    ]
    assert len(marks) == 3
    thread = lines[answer].split()[0]
    between = [line for line in lines[answer + 1 : marks[-1]] if line.split()[0] == thread]
    calls = [line for line in between if "pwrite64(" not in line]
    calls = [line for line in calls if _CALL.match(line)[2] not in _OF_MEMORY]  # type: ignore[index] # every line has one
    assert all(re.search(r"epoll_wait\(.*, 0\)", line) for line in calls), calls
    rest = "\n".join(lines[marks[-1] :])
    before, unlinked, after = rest.partition("unlink(")
    assert "fdatasync(" not in before  # the marks need not last: the file goes
    folder = after.partition(f'openat(AT_FDCWD, "{root}/outgoing", O_RDONLY|O_CLOEXEC|O_DIRECTORY)')
    assert unlinked
    assert "fsync(" in folder[2].partition("close(")[0]
