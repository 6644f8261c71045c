"""System calls of a stage failing under load, each of its first ones with each error (by strace).

    python tests/proof/injected.py
    python tests/proof/injected.py --row "scanmail: renameat2" --first 5

A stage is killed and started anew; the so-manyth call of each of its threads and processes fails.
Then the same in the midst of its life, where it has to go on by itself: letters are taken and
delivered again, and at last all is counted.  What fails every time has a row too.  Calls of a file
that must not be lost are meant, and those that have to do with finding it.  (close is not among
them: strace leaves the file open, Linux never does; `faults` has it.)  Exits 1 where the promise
was broken, or where no call of a row was met.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from proof import live  # noqa: E402 - found only by the line above
from proof.faults import ERRORS  # noqa: E402
from proof.inline import memory  # noqa: E402
from proof.rounds import Tally, by_row, chosen, end, show  # noqa: E402

_CALLS = {
    "smtpd": "openat write pwrite64 pread64 io_setup io_submit flock renameat2 statfs newfstatat",
    "scanmail": "openat write pwrite64 pread64 fsync renameat2 unlink mkdir getdents64 newfstatat",
    "smtpfwdd": "openat write pwrite64 pread64 fdatasync fsync renameat2 unlink getdents64"
    " newfstatat",
}
_ALWAYS = "1+1"
_LONGEST = 2.0  # seconds in which a call has to be met


@dataclass(frozen=True)
class Row:
    stage: str
    call: str

    @property
    def what(self) -> str:
        return f"{self.stage}: {self.call}"


ROWS = tuple(Row(stage, call) for stage, calls in _CALLS.items() for call in calls.split())
_QUICK = ("smtpd: renameat2", "scanmail: renameat2", "smtpfwdd: pwrite64")
_QUICK_ERRORS = ("ENOSPC", "EIO")


def absent() -> str:
    """Why it cannot be done here; "" where it can."""
    return "" if shutil.which("strace") else "no strace here (apt-get install strace)"


def run(row: Row, errors: Sequence[str], first: int, seed: int) -> Tally:
    """Each error at each of so many calls, and at every call for a while."""
    with tempfile.TemporaryDirectory(prefix="spoolscan-injected-", dir=memory()) as folder:
        return asyncio.run(_story(row, Path(folder), errors, first, seed))


async def _story(row: Row, folder: Path, errors: Sequence[str], first: int, seed: int) -> Tally:
    tally = Tally()
    async with live.next_hop() as peer:
        gateway = live.Gateway(folder / "spool", folder / "log", peer.port)
        load = live.Load(gateway.port, folder / "ledger", seed, threads=1)
        try:
            with load.on():
                gateway.start_all()
                await live.listening(gateway)
                for error in errors:
                    for when in (*map(str, range(1, first + 1)), _ALWAYS):
                        for anew in (True, False):
                            inject = f"inject={row.call}:error={error}:when={when}"
                            async with _strace(gateway, row, inject, folder, anew=anew) as report:
                                met = await _met(gateway, row.stage, report)
                            tally.events["met" if met else "not met"] += 1
                            await live.goes_on(gateway, load, peer)
            tally.account = await live.settle(gateway, load, peer)
        finally:
            gateway.kill_all()
        tally.promised, tally.delivered = len(load.promised), len(peer.deliveries)
    return tally


@asynccontextmanager
async def _strace(
    gateway: live.Gateway, row: Row, inject: str, folder: Path, *, anew: bool
) -> AsyncIterator[Path]:
    """In the stage's way, from its first call on where it starts ``anew``."""
    if anew:
        await asyncio.to_thread(gateway.kill, row.stage)
        await asyncio.to_thread(gateway.start, row.stage, held=True)
    pid = gateway.pid(row.stage)
    report = folder / "strace"
    report.unlink(missing_ok=True)
    process = await asyncio.create_subprocess_exec(
        *("strace", "-f", "-o", str(report), "-e", f"trace={row.call}"),
        *("-e", inject, "-p", str(pid)),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    said = await process.stderr.readline()  # that it is attached
    if anew:
        gateway.let_go(row.stage)
    try:
        if b"attached" not in said and gateway.pid(row.stage):
            raise RuntimeError(f"strace: {said.decode()}")
        yield report
    finally:
        # Not SIGINT: where the stage is in vfork(2) strace would wait for it, and it for strace.
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def _met(gateway: live.Gateway, stage: str, report: Path) -> bool:
    """Wait until a call has failed; whether one has."""
    deadline = time.monotonic() + _LONGEST
    while time.monotonic() < deadline:
        if report.exists() and b"(INJECTED)" in report.read_bytes():
            return True
        if not gateway.pid(stage):
            break
        await asyncio.sleep(0.02)
    return report.exists() and b"(INJECTED)" in report.read_bytes()


@click.command()
@by_row("Some rows, and the first call of each.")
@click.option("--first", default=3, show_default=True, help="So many calls of each.")
def main(names: Sequence[str], quick: bool, first: int, seed: int, jobs: int) -> None:
    """Try them and print the counts."""
    if reason := absent():
        click.echo(f"not tried: {reason}")
        return
    rows = chosen(ROWS, names or (_QUICK if quick else ()))
    errors = _QUICK_ERRORS if quick else ERRORS
    one = partial(run, errors=errors, first=1 if quick else first, seed=seed)
    total = show(one, rows, jobs)
    idle = [what for what, tally in total.items() if not tally.events["met"]]
    for what in idle:
        click.echo(f"{what}: no such call was met, so this row shows nothing")
    if idle:
        raise SystemExit(1)
    end(total.values())


if __name__ == "__main__":
    main()
