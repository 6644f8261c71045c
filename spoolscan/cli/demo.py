"""``spoolscan demo``: the whole program on a dozen messages, with nothing configured."""

from __future__ import annotations

import contextlib
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from spoolscan.cli.init import lay_out
from spoolscan.cli.samples import Example, examples
from spoolscan.cli.terminal import plain
from spoolscan.errors import TemporaryFailure

_WAIT: Final = 60.0  # seconds for one message, or for the start, on the slowest machine
_ROW: Final = "{:<28} {:<10} {:>7}  {}"
_BECAUSE: Final = 50  # the column where the last word of a row begins; 80 is where a line ends


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a message went, why, and how long after its 250 (seconds)."""

    fate: str
    why: str
    seconds: float


@click.command(short_help="Try it all in a temporary spool.")
@click.option("--keep", is_flag=True, help="Leave the spool there to be looked at.")
def demo(*, keep: bool) -> int:
    """Run everything on sample messages in a temporary spool; show where each went and why.

    Exits 0 when each went where it belongs.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)  # so that nothing is left behind
    root = Path(tempfile.mkdtemp(prefix="spoolscan-demo-")) / "spool"
    wrong = 0
    try:
        port = _free_port()
        settings: dict[str, object] = {
            "domains": ["example.com"],
            "networks": ["127.0.0.0/8", "::1/128"],
            "listen": [f"127.0.0.1:{port}"],
            "next_hop": f"maildir:{root / 'maildir'}",
        }
        lay_out(root, settings)
        click.echo(f"A spool in {root}, SMTP on 127.0.0.1:{port}.")
        click.echo("Starting all stages ...\n")
        with _running(root):
            click.echo(_ROW.format("message", "went to", "after", "because"))
            for example in examples():
                outcome = _follow(root, port, example)
                wrong += outcome.fate != example.fate
                click.echo(_row(example, outcome))
        told = len(list((root / "maildir" / "new").iterdir()))
        click.echo(f"\n{told} mails went to the maildir: the delivered ones and the notices.")
        if keep:
            click.echo(f"Look at quarantine/, hold/ and maildir/ in {root}")
        else:
            click.echo("All that is removed again; with --keep it stays to be looked at.")
    finally:
        if not keep:
            shutil.rmtree(root.parent, ignore_errors=True)
    return 1 if wrong else 0


def _row(example: Example, outcome: Outcome) -> str:
    note = "" if outcome.fate == example.fate else f" (expected: {example.fate})"
    because = textwrap.wrap(outcome.why + note, 80 - _BECAUSE) or [""]
    took = f"{outcome.seconds * 1000:.0f} ms"
    first = _ROW.format(example.title, outcome.fate, took, because[0])
    return "\n".join([first, *(" " * (_BECAUSE - 1) + line for line in because[1:])])


def _end(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def _running(root: Path) -> Iterator[None]:
    """``spoolscan run`` on this spool.  Raises TemporaryFailure where it does not get ready."""
    log = root / "var" / "demo.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "spoolscan", "--spool", str(root), "run"],
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
        process.wait(_WAIT)
        assert process.stdout is not None  # noqa: S101 - asked for above
        process.stdout.close()


def _follow(root: Path, port: int, example: Example) -> Outcome:
    """Send one message and see what becomes of it."""
    with smtplib.SMTP("127.0.0.1", port, timeout=_WAIT) as client:
        client.ehlo("demo.example.org")
        client.mail("alice@example.org")
        client.rcpt("bob@example.com")
        code, reply = client.data(example.content)
    if code != 250:
        return Outcome(f"{code}", plain(reply.decode("ascii", "replace")), 0.0)
    queue_id = reply.decode("ascii").rpartition(" ")[2]
    began = time.monotonic()
    while time.monotonic() - began < _WAIT:
        if not any((root / state / queue_id).exists() for state in _ON_THE_WAY):
            return _ended(root, queue_id, time.monotonic() - began)
        time.sleep(0.002)
    return Outcome("nowhere", f"still in the spool after {_WAIT:g} s", _WAIT)


# In the order mail flows: a message that moves on while we look is met again in the next one.
_ON_THE_WAY: Final = ("incoming", "scanning", "outgoing")


def _ended(root: Path, queue_id: str, seconds: float) -> Outcome:
    for path in (*root.glob(f"quarantine/*/{queue_id}"), root / "hold" / queue_id):
        if path.exists():
            fate = "hold" if path.parent.name == "hold" else "quarantine"
            return Outcome(fate, _reason(path), seconds)
    return Outcome("delivered", "clean", seconds)


def _reason(path: Path) -> str:
    """The first finding, out of why.txt."""
    lines = Path(f"{path}.why.txt").read_text("utf-8").splitlines()
    found = lines[lines.index("What was found:") + 1] if "What was found:" in lines else lines[0]
    return plain(found.strip().rpartition(" (says ")[0] or found.strip())
