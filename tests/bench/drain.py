"""Drain a full queue to one next hop: ours against Postfix's own, to the same sink in the same run.

    python tests/bench/drain.py
    python tests/bench/drain.py --messages 5000 --rounds 5 --size 100000

Both are running and idle when the queue is given to them: ours by renames into outgoing/, Postfix's
by lifting ``defer_transports`` and a flush.  The time ends when smtp-sink has counted the last
message.  They take turns; the median counts.  Both as they are by default; Postfix has no disk
write to make before it asks for the next message, we have one for each (fdatasync of the mark).

Needs root and Debian's postfix.  Exits 1 where ours is slower.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Self

import click

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from loopback import answers, free_port, until  # noqa: E402 - found only by the line above
from postfix_server import PostfixServer  # noqa: E402 - as above

from spoolscan.envelope import Envelope, Recipient, ScanMark  # noqa: E402 - as above
from spoolscan.spool import STATES, Spool  # noqa: E402 - as above

_ENVIRONMENT = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin"}
_LINE = b"The quick brown fox jumps over the lazy dog, and says so.\r\n"


class Sink:
    """Postfix's smtp-sink, and what it has counted."""

    def __init__(self) -> None:
        self.port = free_port()
        self.count = 0
        self._process = subprocess.Popen(
            ["smtp-sink", "-c", "-u", "nobody", f"127.0.0.1:{self.port}", "100"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_ENVIRONMENT,
            cwd="/",
        )
        Thread(target=self._read, daemon=True).start()
        until(lambda: answers(self.port), "smtp-sink starts")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while data := os.read(self._process.stdout.fileno(), 65_536):
            if found := re.findall(rb"mesg=(\d+)", data):
                self.count = int(found[-1])

    def time(self, messages: int, begin: Callable[[], None]) -> float:
        """Seconds until so many more have come."""
        wanted = self.count + messages
        started = time.perf_counter()
        begin()
        last, moved = self.count, started
        while self.count < wanted:
            time.sleep(0.001)
            if self.count != last:
                last, moved = self.count, time.perf_counter()
            if time.perf_counter() - moved > 60:
                raise SystemExit(f"stuck: {wanted - self.count} of {messages} do not come")
        return time.perf_counter() - started


class Ours:
    """`smtpfwdd` on a spool of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        folder.chmod(0o700)
        for name in (*STATES, "var", "etc"):
            (folder / name).mkdir(mode=0o700)
        (folder / "etc" / "spoolscan.toml").write_text(
            f'[forwarder]\nnext_hop = "smtp://127.0.0.1:{port}"\n'
        )
        self.spool = Spool(folder)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "spoolscan", "--spool", str(folder), "smtpfwdd"],
            stderr=subprocess.DEVNULL,
        )

    def fill(self, messages: int, size: int) -> None:
        to = (Recipient("bob@outside.example"),)
        for _ in range(messages):
            draft = self.spool.draft(Envelope("a@example.org", to, scan=ScanMark("clean")))
            draft.write(b"Subject: x\r\n\r\n" + _LINE * (size // len(_LINE)))
            draft.commit(to="hold")

    def begin(self) -> None:
        for entry in self.spool.entries("hold"):
            os.rename(
                self.spool.path("hold", entry.queue_id), self.spool.path("outgoing", entry.queue_id)
            )

    def settle(self) -> None:
        until(lambda: not self.spool.entries("outgoing"), "outgoing/ is empty")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


class Theirs:
    """Postfix, told to hold what it has."""

    def __init__(self, port: int) -> None:
        self.server = PostfixServer(["nobody@here.example"], outside=port)
        self._settings = self.server.root / "etc" / "main.cf"
        self._open = self._settings.read_text()
        self._settings.write_text(self._open + "defer_transports = smtp\n")
        self.server.start()

    def fill(self, messages: int, size: int) -> None:
        self._reload(self._open + "defer_transports = smtp\n")
        words = ["-m", str(messages), "-s", "10", "-l", str(size)]
        words += ["-f", "a@example.org", "-t", "bob@outside.example"]
        self._run("smtp-source", *words, f"127.0.0.1:{self.server.port}")
        until(lambda: self._waiting("deferred") == messages, "Postfix defers", tell=self.server.log)
        self._reload(self._open)

    def begin(self) -> None:
        self._run("postqueue", "-c", str(self.server.root / "etc"), "-f")

    def settle(self) -> None:
        names = ("incoming", "active", "deferred")
        until(lambda: not any(map(self._waiting, names)), "Postfix is done", tell=self.server.log)

    def stop(self) -> None:
        self.server.__exit__()

    def _waiting(self, queue: str) -> int:
        paths = (self.server.root / "queue" / queue).rglob("*")
        return sum(path.is_file() for path in paths)

    def _reload(self, settings: str) -> None:
        self._settings.write_text(settings)
        self._run("postfix", "-c", str(self.server.root / "etc"), "reload")
        time.sleep(1)  # it says when it is told, not when it is done

    @staticmethod
    def _run(*words: str) -> None:
        subprocess.run(words, env=_ENVIRONMENT, check=True, capture_output=True)


@click.command()
@click.option("--messages", default=2000, show_default=True)
@click.option("--size", default=8192, show_default=True, help="Bytes of one.")
@click.option("--rounds", default=3, show_default=True)
def main(messages: int, size: int, rounds: int) -> None:
    """Measure both and print the ratio."""
    if reason := PostfixServer.absent():
        raise SystemExit(reason)
    rates: dict[str, list[float]] = {"spoolscan": [], "Postfix": []}
    with tempfile.TemporaryDirectory(prefix="spoolscan-drain-") as folder, Sink() as sink:
        queues = {"spoolscan": Ours(Path(folder), sink.port), "Postfix": Theirs(sink.port)}
        try:
            for turn in range(rounds):
                for name, queue in queues.items():
                    queue.fill(messages, size)
                    seconds = sink.time(messages, queue.begin)
                    queue.settle()
                    rates[name].append(messages / seconds)
                    click.echo(f"round {turn + 1}: {name:10}{messages / seconds:8.0f} messages/s")
        finally:
            for queue in queues.values():
                queue.stop()
    ours, theirs = (statistics.median(rates[name]) for name in rates)
    click.echo(f"spoolscan {ours:.0f}/s, Postfix {theirs:.0f}/s, ratio {ours / theirs:.2f}")
    raise SystemExit(1 if ours < theirs else 0)


if __name__ == "__main__":
    main()
