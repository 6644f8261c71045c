"""Helper programs in a box of their own, for the formats that nothing else opens.

A program is run by bubblewrap: no network, no other process in sight, no file but /usr (to read),
the archive (to read) and a small /tmp in memory, an unprivileged user, an empty environment, and
limits on processor, memory, files and processes.  It gets the archive as a file that is nameless
outside, and answers on its standard output; what it complains of is thrown away.

Nothing is run without the box: where bubblewrap is absent, or may not make one, the programs count
as absent, and what only they open stays unreadable.  A program that dies, hangs or says too much
is a `Result` that is not ``good``; only the message's own bounds raise, as LimitReached, and leave
no process behind.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from spoolscan.scanner.unpack.meter import Meter

ARCHIVE: Final = "/in/archive"  # where a program finds it
_BWRAP: Final = "/usr/bin/bwrap"
_PRLIMIT: Final = "/usr/bin/prlimit"
_SECONDS: Final = 20  # for one run, by the clock on the wall and by the processor
_MEMORY: Final = 1 << 30  # bytes of address space
_SCRATCH: Final = 1 << 24  # bytes of /tmp; our programs write nothing there but by mistake
_CHUNK: Final = 1 << 18
# GNUstep, on which unar is built, will not start for a user without a name, nor without /proc.
_PASSWD: Final = b"nobody:x:65534:65534::/tmp:/\n"


@dataclass(frozen=True, slots=True)
class Result:
    """What a program wrote, and whether it ended of its own accord saying that all is well."""

    output: bytes
    good: bool


Runner = Callable[[Sequence[str], bytes, int, float], Result]
"""As `boxed`."""


@dataclass(slots=True)
class _Way:
    """How this process comes by programs: by itself, or by asking another one."""

    run: Runner
    there: Callable[[str], bool]


def through(runner: Runner, there: Callable[[str], bool]) -> None:
    """From now on have programs run by ``runner``: for a process that may not run any."""
    _way.run, _way.there = runner, there


def is_there(program: str) -> bool:
    """Whether ``program``, an absolute path below /usr, can be run in a box."""
    return _way.there(program)


def box_works() -> bool:
    """Whether the kernel lets us make a box: made once, to see."""
    if not is_there("/usr/bin/true"):
        return False
    with _InMemory(b"") as archive, _InMemory(_PASSWD) as passwd:
        argv = _argv(("/usr/bin/true",), archive.number, passwd.number)
        with _start(argv, archive.number, passwd.number) as process:
            return process.wait() == 0


def run(argv: Sequence[str], data: bytes, meter: Meter, *, most: int | None = None) -> Result:
    """Run one program over ``data``, which it finds at `ARCHIVE`.

    Its output counts as made by ``meter``; or, where ``most`` bytes are given, it only must not
    be longer.  Raises LimitReached.
    """
    seconds = meter.budget.deadline - time.monotonic()
    result = _way.run(argv, data, meter.left() if most is None else most, seconds)
    if most is None:
        meter.take(len(result.output))
    meter.budget.check_time()
    return result


def boxed(argv: Sequence[str], data: bytes, most: int, seconds: float) -> Result:
    """Run one program in a box, until it has written more than ``most`` bytes or time is up.

    What it wrote too much is not good, and begins what it gives.
    """
    pieces: list[bytes] = []
    size = 0
    deadline = time.monotonic() + min(_SECONDS, seconds)
    with (
        _InMemory(data) as archive,
        _InMemory(_PASSWD) as passwd,
        _start(
            _argv(argv, archive.number, passwd.number), archive.number, passwd.number
        ) as process,
    ):
        try:
            while size <= most and (piece := _read(process, deadline)):
                pieces.append(piece)
                size += len(piece)
            good = size <= most and piece == b"" and process.wait() == 0
        finally:
            process.kill()  # bubblewrap takes along all that runs in the box
    return Result(b"".join(pieces), good)


def _installed(program: str) -> bool:
    return all(os.access(path, os.X_OK) for path in (program, _BWRAP, _PRLIMIT))


def _argv(argv: Sequence[str], archive: int, passwd: int) -> list[str]:
    """The whole command line; the numbers are of descriptors."""
    box = (
        "--unshare-all --die-with-parent --new-session --clearenv --cap-drop ALL"
        " --uid 65534 --gid 65534 --setenv LC_ALL C.UTF-8 --setenv HOME /tmp"
        " --ro-bind /usr /usr --symlink usr/lib /lib --symlink usr/lib64 /lib64"
        f" --proc /proc --dev /dev --size {_SCRATCH} --tmpfs /tmp --chdir /tmp"
        f" --ro-bind-data {archive} {ARCHIVE} --ro-bind-data {passwd} /etc/passwd"
        " --remount-ro /dev --remount-ro / --"
    )
    limits = f"--cpu={_SECONDS} --as={_MEMORY} --fsize={_SCRATCH} --nproc=32 --core=0"
    return [_BWRAP, *box.split(), _PRLIMIT, *limits.split(), *argv]


def _start(argv: Sequence[str], *descriptors: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=descriptors,
        env={},
        cwd="/",
        bufsize=0,
    )


def _read(process: subprocess.Popen[bytes], deadline: float) -> bytes | None:
    """The next piece of output; b"" at its end, None where the time is up."""
    assert process.stdout is not None  # noqa: S101  # it was opened with a pipe
    waiting = select.poll()
    waiting.register(process.stdout, select.POLLIN)
    left = deadline - time.monotonic()
    if left <= 0 or not waiting.poll(left * 1000):
        return None
    return os.read(process.stdout.fileno(), _CHUNK)


class _InMemory:
    """Bytes as a file without a name, open while the context lasts."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __enter__(self) -> _InMemory:
        self.number = os.memfd_create("archive")
        with open(self.number, "wb", closefd=False) as file:
            file.write(self._data)
        os.lseek(self.number, 0, os.SEEK_SET)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.number)


_way: Final = _Way(boxed, _installed)
