"""What the promise rests on, taken out line by line: a test must notice each.

    python tests/proof/mutants.py
    python tests/proof/mutants.py --quick

The table below is the promise in code: each fsync, rename and check without which mail could be
lost, altered or passed.  A row whose line is not there any more is an error: somebody moved a
promise, and has to say where to.  Exits 1 where a mutant survives.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

ROOT = Path(__file__).parents[2]
_PARTS = ("spoolscan", "tests", "etc", "bin", "var-skeleton", "pyproject.toml", "README.rst")
_PATIENCE = 900  # seconds for one; a mutant may hang, and is killed by that

SPOOL = ("tests/test_spool.py", "tests/test_spool_crashes.py")
CUTS = "tests/proof/test_proof.py::test_whatever_a_power_cut_leaves_nothing_is_lost_torn_or_passed"
CLEAN, REFUSED, VIRUS = f"{CUTS}[clean]", f"{CUTS}[refused]", f"{CUTS}[virus]"


@dataclass(frozen=True)
class Mutant:
    """``line`` stands once in ``file`` (of the package), whatever its indent; ``tests`` notice."""

    file: str
    line: str
    instead: str
    why: str
    tests: tuple[str, ...] = SPOOL
    quick: bool = False


MUTANTS = (
    # Received: on the disk with its name, then 250.
    Mutant(
        "spool.py",
        "await syncer.file(self._descriptor)",
        "pass",
        "content before its name",
        (CLEAN,),
        quick=True,
    ),
    Mutant(
        "spool.py",
        "disk.fsync(self._descriptor)",
        "pass",
        "of what we write ourselves, too",
        (REFUSED,),
    ),
    Mutant(
        "spool.py",
        "await syncer.directory(self._spool.path(to))",
        "pass",
        "the name before the 250",
        (CLEAN,),
        quick=True,
    ),
    Mutant(
        "spool.py",
        "self._spool.sync(to)",
        "pass",
        "a report's, before the recipient is marked",
        (REFUSED,),
    ),
    Mutant(
        "spool.py",
        "if self.size != self._said:",
        "if False:",
        "a message says how long it is",
    ),
    Mutant(
        "spool.py",
        "disk.claim_writing(self._descriptor)",
        "pass",
        "a draft that is being written is not swept",
    ),
    Mutant(
        "spool.py",
        "if QUEUE_ID.fullmatch(name) and disk.writer_is_gone(path):",
        "if QUEUE_ID.fullmatch(name):",
        "only the drafts of the dead are swept",
    ),
    Mutant(
        "receiver/intake.py",
        "await draft.commit_by(self._syncer)",
        "draft.discard()",
        "250 means committed",
        ("tests/test_receiver.py",),
    ),
    Mutant(
        "receiver/intake.py",
        "_BROKEN: Final = (errno.EIO, errno.EROFS)",
        "_BROKEN: Final = ()",
        "a disk that failed is believed after a probe only",
        ("tests/test_receiver_trouble.py",),
    ),
    Mutant(
        "disk.py",
        "while view:",
        "if view:",
        "a short write is no whole one",
        ("tests/proof/test_proof.py::test_a_short_write_is_gone_on_with",),
    ),
    Mutant(
        "syncer.py",
        "aio.settle(future, error)",
        "aio.settle(future, None)",
        "a sync that failed is told to all whom it was for",
        ("tests/test_syncer.py",),
    ),
    Mutant(
        "syncer.py",
        "error = sync.exception() or self._trouble()",
        "error = sync.exception()",
        "an XFS that has shut down is not believed",
        ("tests/test_syncer.py",),
    ),
    Mutant(
        "aio.py",
        "self._end(number, OSError(-result, os.strerror(-result)) if result < 0 else None)",
        "self._end(number, None)",
        "and what the kernel says is heard",
        ("tests/test_syncer.py",),
    ),
    # Moved: never over another message, and only what is one.
    Mutant(
        "spool.py",
        "disk.rename_new(source, target)",
        "disk.rename_over(source, target)",
        "no message is written over",
        quick=True,
    ),
    Mutant(
        "disk.py",
        "_RENAME_NOREPLACE: Final = 1",
        "_RENAME_NOREPLACE: Final = 0",
        "no message is written over",
    ),
    Mutant(
        "disk.py",
        "return stat.S_ISREG(found.st_mode) and found.st_nlink == 1",
        "return stat.S_ISREG(found.st_mode)",
        "nobody else holds a message by another name",
    ),
    Mutant(
        "disk.py",
        "return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK"
        " | os.O_NOCTTY | os.O_CLOEXEC)",
        "return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)",
        "a link is not followed",
    ),
    Mutant("spool.py", "if not disk.is_plain(status):", "if False:", "a fifo is no message"),
    Mutant("spool.py", "if length < head.size:", "if False:", "half a copy is no message"),
    Mutant("spool.py", "if length > head.size:", "if False:", "more than it says is no message"),
    Mutant("spool.py", "if head.queue_id != queue_id:", "if False:", "a file has its own name"),
    Mutant("spool.py", "if not piece:", "if False:", "a file that was cut is not read on"),
    # Judged: what is in hand comes back, what is bad stays.
    Mutant("spool.py", 'message.move("scanning")', "pass", "one scanner has a message"),
    Mutant(
        "spool.py",
        'message.mark_scan(ScanMark("-", tries))',
        "pass",
        "a message that kills its scanner is set aside",
    ),
    Mutant(
        "spool.py",
        'self._spool.sync("quarantine")  # a folder that is not on the disk must not get it',
        "pass",
        "a day's folder is on the disk before mail is in it",
        (VIRUS,),
        quick=True,
    ),
    Mutant(
        "scanner/disposition.py",
        'return Fate("quarantine", str(verdict))',
        'return Fate("outgoing", str(verdict))',
        "what was found does not pass",
        (VIRUS,),
    ),
    Mutant(
        "scanner/disposition.py",
        "self._set_aside(message, report, parts, fate)",
        'message.move("hold", "?")',
        "the administrator is told first, then it is moved",
        ("tests/test_disposition.py",),
    ),
    # Forwarded: said, marked, and only then forgotten.
    Mutant(
        "forwarder/daemon.py",
        "self._mark(work, done)",
        "pass",
        "who has it does not get it again",
        ("tests/test_recipient_by_recipient.py",),
    ),
    Mutant(
        "forwarder/removals.py",
        'self._spool.sync("outgoing")',
        "pass",
        "what is done with does not come back",
        ("tests/test_recipient_by_recipient.py",),
    ),
    Mutant(
        "spool.py",
        "if self._lies_at(aside):",
        "if True:",
        "what somebody put in its place stays",
        ("tests/test_removal.py",),
    ),
    Mutant(
        "spool.py",
        "disk.fdatasync(self._descriptor)",
        "pass",
        "nor after a power cut",
        quick=True,
    ),
    Mutant(
        "forwarder/attempt.py",
        "self._report(work, dsn.FAILURE, given_up)",
        "message.mark(given_up, FAIL); self._report(work, dsn.FAILURE, given_up)",
        "the report is on the disk before the mark",
        (REFUSED,),
        quick=True,
    ),
    Mutant(
        "forwarder/attempt.py",
        "if not waiting:",
        "if True:",
        "nothing is removed while somebody waits for it",
        ("tests/test_recipient_by_recipient.py",),
    ),
    Mutant(
        "forwarder/maildir.py",
        "disk.fsync(descriptor)",
        "pass",
        "delivered means on the disk",
        (CLEAN,),
        quick=True,
    ),
    Mutant(
        "forwarder/maildir.py",
        'disk.fsync_directory(self._place("new"))',
        "pass",
        "with its name",
        (CLEAN,),
    ),
    Mutant(
        "forwarder/maildir.py",
        "disk.fsync_directory(self._path)",
        "pass",
        "and that of new/",
        (CLEAN,),
    ),
    Mutant(
        "forwarder/maildir.py",
        "disk.fsync_directory(os.path.dirname(self._path))",
        "pass",
        "and that of the maildir",
        (CLEAN,),
    ),
)


def mutated(source: str, mutant: Mutant) -> str:
    """Raises LookupError where the row is stale."""
    lines = source.splitlines(keepends=True)
    found = [number for number, line in enumerate(lines) if line.strip() == mutant.line]
    if len(found) != 1:
        raise LookupError(
            f"spoolscan/{mutant.file}: {mutant.line!r} stands there {len(found)} times, not once"
        )
    line = lines[found[0]]
    lines[found[0]] = line.replace(mutant.line, mutant.instead)
    return "".join(lines)


def check(mutants: tuple[Mutant, ...] = MUTANTS) -> None:
    """Raises LookupError where a row is stale."""
    for mutant in mutants:
        mutated((ROOT / "spoolscan" / mutant.file).read_text("utf-8"), mutant)


def survives(place: Path, mutant: Mutant) -> bool:
    """In that copy of the project, which is as it was when this returns."""
    path = place / "spoolscan" / mutant.file
    source = path.read_text("utf-8")
    path.write_text(mutated(source, mutant), "utf-8")
    try:
        return passes(place, mutant.tests)
    finally:
        path.write_text(source, "utf-8")


def passes(place: Path, tests: tuple[str, ...]) -> bool:
    """Whether all of these tests do."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=place,
            env=environment,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in (0, 1):  # pytest's own trouble proves nothing
        raise RuntimeError(f"{tests}: {done.stdout.decode()[-2000:]}")
    return done.returncode == 0


def run(mutants: tuple[Mutant, ...], jobs: int) -> Iterator[tuple[Mutant, bool]]:
    """Each, with whether it survived."""
    with tempfile.TemporaryDirectory(prefix="spoolscan-mutants-") as folder:
        places: Queue[Path] = Queue()
        for number in range(jobs):
            places.put(_copied(Path(folder) / str(number)))
        # What fails without a mutant kills none.
        tests = tuple(sorted({test for mutant in mutants for test in mutant.tests}))
        if not passes(Path(folder) / "0", tests):
            raise click.ClickException(f"these do not pass as they are: {' '.join(tests)}")

        def one(mutant: Mutant) -> tuple[Mutant, bool]:
            place = places.get()
            try:
                return mutant, survives(place, mutant)
            finally:
                places.put(place)

        with ThreadPoolExecutor(jobs) as threads:
            yield from threads.map(one, mutants)


def _copied(place: Path) -> Path:
    place.mkdir()
    for part in _PARTS:
        source = ROOT / part
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, place / part, ignore=ignore)
        else:
            shutil.copy(source, place / part)
    return place


@click.command()
@click.option("--quick", is_flag=True, help="Only those that power cuts are about.")
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, help="At the same time.")
def main(quick: bool, jobs: int) -> None:
    """Try them and print the table."""
    check()
    chosen = tuple(mutant for mutant in MUTANTS if mutant.quick or not quick)
    table = Table("", "where", "what it is for")
    survivors = 0
    with Progress(console=Console(stderr=True)) as progress:
        for mutant, survived in progress.track(
            run(chosen, jobs), total=len(chosen), description="mutants"
        ):
            survivors += survived
            word = "SURVIVED" if survived else "killed"
            table.add_row(word, f"{mutant.file}: {mutant.line}", mutant.why)
    Console().print(table)
    click.echo(f"{len(chosen)} mutants, {survivors} survived")
    raise SystemExit(1 if survivors else 0)


if __name__ == "__main__":
    main()
