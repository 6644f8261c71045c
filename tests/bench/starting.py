"""What a command costs that is there for a moment: the whole process, for one small mail.

    python tests/bench/starting.py
    python tests/bench/starting.py --rounds 5

All in turns, in each round: a mail is put into incoming/ of a spool, listed by `queue`, judged by
`scanmail --once`, and sent on to a maildir by `smtpfwdd --once`; another is looked at by `inspect`,
which has an attachment.  Beside them stands a Python that does nothing, which is 1 of the ratio.
All have their byte code, as installed programs have, in a folder of its own.  The ratio is that of
the CPU, in which it counts less what else the machine does.

Exits 1 where one takes more than `_MOST` says, or does not do what it is there for.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
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

# Times a Python that does nothing; half as much again as was seen.  scanmail is four processes.
_MOST: Final = {
    "spoolscan queue": 10,
    "spoolscan inspect FILE": 50,
    "scanmail --once": 66,
    "smtpfwdd --once": 32,
}
Cost = tuple[float, float]
"""Seconds until the end, and seconds of CPU."""

_NOTHING: Final = "python -c pass"
_MAIL: Final = (
    b"From: alice@example.org\r\nTo: bob@example.com\r\nSubject: figures\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=limit\r\n\r\n"
    b"--limit\r\nContent-Type: text/plain\r\n\r\nThe figures are attached.\r\n"
    b"--limit\r\nContent-Type: application/octet-stream; name=figures.dat\r\n\r\n1 2 3\r\n"
    b"--limit--\r\n"
)


def _cpu() -> float:
    """Of all children that have ended, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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

    def run(self, *arguments: str) -> Cost:
        """What it took until it had ended.  Raises CalledProcessError."""
        used, began = _cpu(), time.perf_counter()
        subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT, env=self._environment, capture_output=True, check=True,
        )  # fmt: skip
        return time.perf_counter() - began, _cpu() - used

    def take(self) -> None:
        """One more mail in incoming/."""
        recipients = (Recipient("bob@example.com"),)
        draft = self.spool.draft(Envelope(sender="alice@example.org", recipients=recipients))
        draft.write(_MAIL)
        draft.commit()

    def delivered(self) -> int:
        return sum(1 for _ in (self.root / "maildir" / "new").iterdir())


def _round(place: _Place) -> dict[str, Cost]:
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
    taken: dict[str, list[Cost]] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = _Place(Path(folder))
        _round(place)  # which writes the byte code
        for _ in track(range(rounds), "rounds", console=console, transient=True):
            for name, cost in _round(place).items():
                taken.setdefault(name, []).append(cost)
    ratios = {name: _least(costs)[1] / _least(taken[_NOTHING])[1] for name, costs in taken.items()}
    _show(console, taken, ratios)
    dear = [name for name, ratio in ratios.items() if ratio > _MOST.get(name, ratio)]
    console.print(f"too dear: {', '.join(dear)}" if dear else "well")
    sys.exit(bool(dear))


def _least(costs: Sequence[Cost]) -> Cost:
    """Of each of the two; what more it was, others took."""
    return min(wall for wall, _ in costs), min(cpu for _, cpu in costs)


def _show(
    console: Console, taken: Mapping[str, Sequence[Cost]], ratios: Mapping[str, float]
) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("the whole process")
    for title in ("least ms", "median ms", "CPU ms", "ratio"):
        table.add_column(title, justify="right")
    for name, costs in taken.items():
        wall, cpu = _least(costs)
        middle = statistics.median(wall for wall, _ in costs)
        figures = [f"{seconds * 1000:.0f}" for seconds in (wall, middle, cpu)]
        table.add_row(name, *figures, f"{ratios[name]:.1f}")
    console.print(table)


if __name__ == "__main__":
    main()
