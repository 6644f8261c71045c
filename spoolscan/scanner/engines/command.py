r"""Any command-line scanner, by its argument list and a table of its exit statuses.

    ("clamscan", "--no-summary", "{file}")     one run a sample
    ("savscan", "-archive", "{dir}")           one run for all samples

``{file}`` and ``{dir}`` stand for a private temporary file or directory (0700, removed at once),
with names of our own: what the sender called something is never on a command line.  There is no
shell; the environment holds PATH, LC_ALL, HOME and TMPDIR, nothing else; standard input is empty.

The exit status alone decides: one of ``clean``, one of ``infected``; any other, death by a signal
or a run longer than ``timeout`` is a TemporaryFailure.  What it prints only puts names to what was
found: in each line that ``pattern`` (RE2) matches, its first group, or else the whole match, is the
name, and one of our file names in the same line tells the sample.  Output beyond OUTPUT_BYTES is
thrown away.

However a run ends, its whole process group is killed, and should we be killed ourselves the kernel
ends the scanner with us; what leaves its group on purpose is beyond this module, and a directory
left behind by a kill is the scanner stage's to remove (`sweep`).  Linux only (pidfd).
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import re2

from spoolscan.config import CommandSettings
from spoolscan.errors import ConfigError, TemporaryFailure
from spoolscan.scanner.engines.contract import Sample, Tell, WrongAnswer
from spoolscan.verdict import Finding, Verdict

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)

SCRATCH_PREFIX = "scratch-"
OUTPUT_BYTES = 1_048_576
_NAME_LENGTH = 200
_UNNAMED = "infected"
_OUR_FILE = re2.compile(r"sample-([0-9]{6})")
_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Command:
    """See the module.  Raises ConfigError for settings that can never work; runs nothing yet."""

    def __init__(self, settings: CommandSettings, tell: Tell) -> None:  # noqa: ARG002 - as in the table
        self.name = settings.name
        self._settings = settings
        self._one_run = _one_run(settings)
        self._pattern = _pattern(settings)
        _check_numbers(settings)

    def scan(self, samples: Sequence[Sample], deadline: float = math.inf) -> list[Finding]:
        groups = [samples] if self._one_run and samples else [[sample] for sample in samples]
        return [finding for group in groups for finding in self._scan(group, deadline)]

    def _scan(self, group: Sequence[Sample], deadline: float) -> list[Finding]:
        if time.monotonic() >= deadline:
            raise self._failure("no time is left for it")
        with self._scratch() as scratch:
            place = Path(scratch) / "samples"
            place.mkdir(0o700)
            for number, sample in enumerate(group, 1):
                (place / f"sample-{number:06d}").write_bytes(sample.data)
            first = str(place / "sample-000001")
            status, output = self._run(
                [
                    argument.replace("{file}", first).replace("{dir}", str(place))
                    for argument in self._settings.argv
                ],
                scratch,
                deadline,
            )
        if status in self._settings.clean:
            return []
        if status in self._settings.infected:
            return self._findings(group, output)
        said = f"status {status} is neither clean nor infected; it printed {output[-200:]!r}"
        raise self._failure(said, TemporaryFailure if status < 0 else WrongAnswer)

    def _findings(self, group: Sequence[Sample], output: bytes) -> list[Finding]:
        """One for each sample that is named; one for the whole message where none is."""
        first = ""
        named: dict[int, str] = {}
        for line in output.decode("utf-8", "replace").split("\n"):
            if not self._pattern or not (match := self._pattern.search(line)):
                continue
            virus = _printable(match[1 if self._pattern.groups else 0] or "") or _UNNAMED
            first = first or virus
            for ours in _OUR_FILE.finditer(line):
                named.setdefault(int(ours[1]), virus)
        if len(group) == 1:
            named = {1: first or _UNNAMED}
        findings = [
            Finding(Verdict.INFECTED, sample.path, named[number], self.name)
            for number, sample in enumerate(group, 1)
            if number in named
        ]
        return findings or [Finding(Verdict.INFECTED, (), first or _UNNAMED, self.name)]

    def awake(self) -> str:
        program = self._settings.argv[0]
        path = shutil.which(program, path=_SEARCH_PATH)
        if path is None:
            raise ConfigError(
                f"engine {self.name}: no program {program!r} in {_SEARCH_PATH}: "
                "install it, or give its full path"
            )
        if not self._settings.version:
            return path
        with self._scratch() as scratch:
            status, output = self._run(self._settings.version, scratch)
        if status:
            raise self._failure(f"asked for its version, it ended with status {status}")
        return _printable(output.decode("utf-8", "replace").strip().split("\n")[0])

    def close(self) -> None:
        """Nothing is held between two scans."""

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[str]:
        """A private directory.  What the system refuses in there is a TemporaryFailure."""
        try:
            with tempfile.TemporaryDirectory(
                prefix=SCRATCH_PREFIX, dir=self._settings.scratch, ignore_cleanup_errors=True
            ) as scratch:
                yield scratch
        except TimeoutError:
            raise self._failure(f"killed after {self._settings.timeout:g} s") from None
        except OSError as error:
            doing = f"engine {self.name}: {self._settings.argv[0]}"
            raise TemporaryFailure.from_os(error, doing) from None

    def _run(
        self, argv: Sequence[str], scratch: str, deadline: float = math.inf
    ) -> tuple[int, bytes]:
        """Exit status (negative: killed by that signal) and output."""
        deadline = min(deadline, time.monotonic() + self._settings.timeout)
        with subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=scratch,
            env={"PATH": _SEARCH_PATH, "LC_ALL": "C", "HOME": scratch, "TMPDIR": scratch},
            start_new_session=True,
            preexec_fn=_die_with_us,  # noqa: PLW1509 - a worker has one thread
        ) as process:
            try:
                output = _listen(process, deadline)
            finally:
                # Not yet reaped, so the number still is the group's, whoever is left in it.
                os.killpg(process.pid, signal.SIGKILL)
        return process.returncode, output

    def _failure(
        self, reason: str, kind: type[TemporaryFailure] = TemporaryFailure
    ) -> TemporaryFailure:
        return kind(f"engine {self.name}: {self._settings.argv[0]}: {reason}")


def sweep(folder: Path) -> None:
    """Remove the temporary directories of scans whose worker was killed."""
    for path in folder.glob(f"{SCRATCH_PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)


def _die_with_us() -> None:
    """In the child: a worker that hangs is killed outright, and must not leave a scanner behind."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _listen(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """What it prints until it ends, even if a child of its own keeps the pipe open.

    Raises TimeoutError.
    """
    assert process.stdout is not None  # noqa: S101 - for the type checker: we asked for a pipe
    pipe = process.stdout.fileno()
    end = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        poll.register(end, select.POLLIN)
        output = bytearray()
        while (left := deadline - time.monotonic()) > 0:
            ready = [descriptor for descriptor, _ in poll.poll(left * 1000)]
            if pipe in ready:
                piece = os.read(pipe, 65_536)
                output += piece[: OUTPUT_BYTES - len(output)]
                if not piece:
                    poll.unregister(pipe)
            elif end in ready:
                return bytes(output)
        raise TimeoutError
    finally:
        os.close(end)


def _printable(text: str) -> str:
    """Fit for a finding: one line, no control or invisible characters."""
    return "".join(c if c.isprintable() else "?" for c in text[:_NAME_LENGTH].strip())


def _one_run(settings: CommandSettings) -> bool:
    """Whether all samples go into one run."""
    places = [
        place for place in ("{file}", "{dir}") if any(place in word for word in settings.argv[1:])
    ]
    if len(places) != 1:
        raise _wrong(settings, "argv", list(settings.argv), "needs {file} or {dir}, and not both")
    return places == ["{dir}"]


def _pattern(settings: CommandSettings) -> Any:  # re2 ships no types
    if not settings.pattern:
        return None
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(settings.pattern, options)
    except re2.error as error:
        raise _wrong(settings, "pattern", settings.pattern, f"not RE2: {error.args[0]!r}") from None


def _check_numbers(settings: CommandSettings) -> None:
    if both := settings.clean & settings.infected:
        raise _wrong(settings, "infected", sorted(both), "cannot mean clean and infected at once")
    for key, statuses in (("clean", settings.clean), ("infected", settings.infected)):
        if not statuses or not all(0 <= status <= 255 for status in statuses):
            raise _wrong(settings, key, sorted(statuses), "give exit statuses from 0 to 255")
    if not 0 < settings.timeout < math.inf:
        raise _wrong(settings, "timeout", settings.timeout, "give seconds above 0")


def _wrong(settings: CommandSettings, key: str, value: object, remedy: str) -> ConfigError:
    return ConfigError(f"engine {settings.name}: {key} = {value!r}: {remedy}")
