"""A whole spoolscan in a temporary directory, for messages of our own: demo and selftest."""

from __future__ import annotations

import contextlib
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spoolscan.cli.init import lay_out
from spoolscan.cli.terminal import plain
from spoolscan.errors import TemporaryFailure

WAIT: Final = 60.0  # seconds for one message, or for the start, on the slowest machine
# In the order mail flows: a message that moves on while we look is met again in the next one.
_ON_THE_WAY: Final = ("incoming", "scanning", "outgoing")


@dataclass(frozen=True, slots=True)
class Found:
    """One finding of a why.txt: its words, how deep its part is nested, and what that is called."""

    words: str
    depth: int = 0
    part: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a message went: delivered, quarantine, hold or nowhere; what was found there."""

    fate: str
    found: tuple[Found, ...] = ()

    @property
    def why(self) -> str:
        """The first finding, without who says so."""
        if not self.found:
            return "clean" if self.fate == "delivered" else ""
        words = self.found[0].words
        return plain(words.rpartition(" (says ")[0] or words)


class Trial:
    """One spool and all stages on it."""

    def __init__(self, root: Path) -> None:
        """Lays the spool out.  Raises ConfigError, TemporaryFailure."""
        self.root = root
        self.maildir = root / "maildir"
        self.port = _free_port()
        lay_out(
            root,
            {
                "domains": ["example.com"],
                "networks": ["127.0.0.0/8", "::1/128"],
                "listen": [f"127.0.0.1:{self.port}"],
                "next_hop": f"maildir:{self.maildir}",
            },
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """``spoolscan run``.  Raises TemporaryFailure where it does not get ready."""
        log = self.root / "var" / "trial.log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "spoolscan", "--spool", str(self.root), "run"],
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        try:
            assert process.stdout is not None  # noqa: S101 - asked for above
            if process.stdout.readline().strip() != b"READY":
                raise TemporaryFailure(f"it did not start:\n{log.read_text()}")
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(WAIT)
            assert process.stdout is not None  # noqa: S101 - asked for above
            process.stdout.close()

    def send(self, content: bytes) -> str:
        """Returns the queue id.  Raises TemporaryFailure where the message is not taken."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=WAIT) as client:
            client.ehlo("trial.example.org")
            client.mail("alice@example.org")
            client.rcpt("bob@example.com")
            code, reply = client.data(content)
        words = reply.decode("ascii", "replace")
        if code != 250:
            raise TemporaryFailure(f"a sample was not taken: {code} {plain(words)}")
        return words.rpartition(" ")[2]

    def follow(self, queue_id: str) -> Outcome:
        """Wait until it is somewhere for good."""
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            if not any((self.root / state / queue_id).exists() for state in _ON_THE_WAY):
                return self._ended(queue_id)
            time.sleep(0.002)
        return Outcome("nowhere", (Found(f"still in the spool after {WAIT:g} s"),))

    def _ended(self, queue_id: str) -> Outcome:
        places = (*self.root.glob(f"quarantine/*/{queue_id}"), self.root / "hold" / queue_id)
        for path in places:
            if path.exists():
                fate = "hold" if path.parent.name == "hold" else "quarantine"
                return Outcome(fate, tuple(_reasons(path)))
        return Outcome("delivered")


@contextlib.contextmanager
def trial(name: str, *, keep: bool = False) -> Iterator[Trial]:
    """A trial in a temporary directory, which is removed at the end, also at SIGTERM or SIGHUP."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    root = Path(tempfile.mkdtemp(prefix=f"spoolscan-{name}-")) / "spool"
    try:
        yield Trial(root)
    finally:
        if not keep:
            shutil.rmtree(root.parent, ignore_errors=True)


def _end(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def _reasons(path: Path) -> Iterator[Found]:
    """The findings in why.txt, each a line with the place in the next one; else its first line."""
    lines = Path(f"{path}.why.txt").read_text("utf-8").splitlines()
    if "What was found:" not in lines:
        yield Found(lines[0])
        return
    first = lines.index("What was found:") + 1
    for words, place in zip(lines[first::2], lines[first + 1 :: 2], strict=False):
        if not place.startswith("      in "):
            break
        steps = place.removeprefix("      in ").split(" > ")
        yield Found(words.strip(), len(steps) - 1, steps[-1])
