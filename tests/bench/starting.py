"""What a command costs that is there for a moment: the whole process, for one small mail.

    python tests/bench/starting.py
    python tests/bench/starting.py --rounds 5

All in turns, in each round: a mail is put into incoming/ of a spool, listed by `queue`, judged by
`scanmail --once`, and sent on to a maildir by `smtpfwdd --once`; another is looked at by `inspect`,
which has an attachment.  Beside them stands a Python that does nothing, which is 1 of the ratio.
All have their byte code, as installed programs have, in a folder of its own.

Exits 1 where one costs more than `_MOST` times nothing, or does not do what it is there for.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT)]

from spoolscan.envelope import Envelope, Recipient  # noqa: E402 - found only by the line above
from spoolscan.spool import Spool  # noqa: E402 - as above

_MOST: Final = 45  # times a Python that does nothing; about twice what was seen
_NOTHING: Final = "python -c pass"
_MAIL: Final = (
    b"From: alice@example.org\r\nTo: bob@example.com\r\nSubject: figures\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=limit\r\n\r\n"
    b"--limit\r\nContent-Type: text/plain\r\n\r\nThe figures are attached.\r\n"
    b"--limit\r\nContent-Type: application/octet-stream; name=figures.dat\r\n\r\n1 2 3\r\n"
    b"--limit--\r\n"
)


class _Place:
    """A spool with a maildir behind it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "spool"
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
            "PYTHONPYCACHEPREFIX": str(folder / "code"),
            "PYTHONPATH": str(ROOT),
        }
        self.mail = folder / "mail.eml"
        self.mail.write_bytes(_MAIL)
        self.run("-m", "spoolscan", "init", str(self.root), "--domain", "example.com")
        self.spool = Spool(self.root)

    def run(self, *arguments: str) -> float:
        """Seconds until it has ended.  Raises CalledProcessError."""
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, *arguments], env=self._environment, capture_output=True, check=True
        )
        return time.perf_counter() - began

    def take(self) -> None:
        """One more mail in incoming/."""
        recipients = (Recipient("bob@example.com"),)
        draft = self.spool.draft(Envelope(sender="alice@example.org", recipients=recipients))
        draft.write(_MAIL)
        draft.commit()

    def delivered(self) -> int:
        return sum(1 for _ in (self.root / "maildir" / "new").iterdir())


def _round(place: _Place) -> dict[str, float]:
    ours = ("-m", "spoolscan", "--spool", str(place.root))
    place.take()
    before = place.delivered() if (place.root / "maildir").is_dir() else 0
    took = {_NOTHING: place.run("-c", "pass")}
    took["spoolscan queue"] = place.run(*ours, "queue")
    took["spoolscan inspect FILE"] = place.run(*ours, "inspect", str(place.mail))
    took["scanmail --once"] = place.run(*ours, "scanmail", "--once")
    took["smtpfwdd --once"] = place.run(*ours, "smtpfwdd", "--once")
    if place.delivered() != before + 1:
        raise RuntimeError("the mail did not come out")
    return took


@click.command()
@click.option("--rounds", default=10, show_default=True)
def main(rounds: int) -> None:
    """Print what each costs, and what that is beside nothing."""
    console = Console()
    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = _Place(Path(folder))
        _round(place)  # which writes the byte code
        for _ in track(range(rounds), "rounds", console=console, transient=True):
            for name, seconds in _round(place).items():
                taken.setdefault(name, []).append(seconds)
    _show(console, taken)
    dear = [name for name in taken if min(taken[name]) > _MOST * min(taken[_NOTHING])]
    console.print(f"too dear: {', '.join(dear)}" if dear else "well")
    sys.exit(bool(dear))


def _show(console: Console, taken: dict[str, Sequence[float] | list[float]]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("the whole process")
    for title in ("least ms", "median ms", "ratio"):
        table.add_column(title, justify="right")
    for name, seconds in taken.items():
        ratio = min(seconds) / min(taken[_NOTHING])
        least, middle = min(seconds) * 1000, statistics.median(seconds) * 1000
        table.add_row(name, f"{least:.0f}", f"{middle:.0f}", f"{ratio:.1f}")
    console.print(table)


if __name__ == "__main__":
    main()
