"""An hour at half of the rate that the gateway can take: does anything grow?

    python tests/bench/hour.py
    python tests/bench/hour.py --minutes 5
    python tests/bench/hour.py --minutes 600 --rate 50 --corpus mixed

The top rate is measured first (the median of three rounds), with every sync that a promise takes,
on the disk of ``--folder``.  Then come the minutes, each a round of its own: all that was accepted
in it has to be with the next hop, whole and once, before the next begins.  A line a minute: rate,
latency until the reply and until the next hop, and of each program its memory (RSS) and its open
descriptors, those of its processes together.

What grows is told by the medians of the second tenth of all minutes (the first fills caches) and of
the last: memory by more than a tenth and 4 MiB, descriptors by more than a tenth and 4, p50 by more
than a half and 5 ms, p99 to more than twice and 50 ms.  Exits 1 where something does, or where a
message was lost, doubled or damaged.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from load import mails, processes  # noqa: E402 - found only by the line above
from load.generator import Order  # noqa: E402 - as above
from load.runs import Result, Sink, median, run  # noqa: E402 - as above
from load.systems import Ours  # noqa: E402 - as above

_MINUTE = 60  # seconds
_TOP = 1000  # messages of a round that measures the top rate
_MEBI = 2**20
# What counts as growth: by more than this share, and by more than so much.
_BOUNDS = {
    "MiB": (0.1, 4.0),
    "descriptors": (0.1, 4.0),
    "p50 ms": (0.5, 5.0),
    "p99 ms": (1.0, 50.0),
}
Figures = dict[str, float]  # by what and unit, as "smtpd MiB"


@dataclass(frozen=True, slots=True)
class Minute:
    result: Result
    figures: Figures


def _figures(result: Result, roots: Sequence[int]) -> Figures:
    found: Figures = {}
    for what, (p50, _, p99) in (("accept", result.accept), ("through", result.through)):
        found |= {f"{what} p50 ms": p50 * 1000, f"{what} p99 ms": p99 * 1000}
    memory: Counter[str] = Counter()
    descriptors: Counter[str] = Counter()
    for name, pid in processes.named(roots):
        memory[name] += processes.resident(pid)
        descriptors[name] += processes.descriptors(pid)
    for name, count in memory.items():
        found |= {f"{name} MiB": count / _MEBI, f"{name} descriptors": descriptors[name]}
    return found


def _told(number: int, minute: Minute) -> str:
    words = "; ".join(f"{what} {value:.0f}" for what, value in minute.figures.items())
    short = words.replace(" descriptors ", " fd ")
    return f"{number}: {minute.result.rate:.0f}/s; {short}"


def _tenths(minutes: Sequence[Minute]) -> dict[str, Figures]:
    """Medians of the second tenth, of one in the middle, and of the last."""
    length = max(1, len(minutes) // 10)
    middle = len(minutes) // 2
    parts = {
        "start": minutes[length : 2 * length] or minutes[:length],
        "middle": minutes[middle : middle + length],
        "end": minutes[-length:],
    }
    return {
        name: {
            what: statistics.median(one.figures.get(what, 0.0) for one in part)
            for what in minutes[-1].figures
        }
        for name, part in parts.items()
    }


def grown(start: Figures, end: Figures) -> list[str]:
    """What is more at the end than it may be."""
    found = []
    for what, value in end.items():
        share, amount = next(bounds for unit, bounds in _BOUNDS.items() if what.endswith(unit))
        before = start.get(what, 0.0)
        if value > before * (1 + share) and value > before + amount:
            found.append(f"{what} grows: {before:.0f}, {value:.0f}")
    return found


def _show(tenths: dict[str, Figures]) -> None:
    table = Table("", *tenths, box=None, pad_edge=False)
    for what in tenths["end"]:
        table.add_row(what, *(f"{figures[what]:.0f}" for figures in tenths.values()))
    Console().print(table)


@click.command()
@click.option("--minutes", default=60, show_default=True)
@click.option("--rate", default=0.0, help="Messages a second; 0: half of what can be taken.")
@click.option("--corpus", type=click.Choice(mails.CORPORA), default="text4k", show_default=True)
@click.option("--sessions", default=10, show_default=True)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Where the spool lies.  [default: a temporary directory]",
)
def main(minutes: int, rate: float, corpus: str, sessions: int, folder: Path | None) -> None:
    """Load it, print a line a minute, and compare."""
    wrong: list[str] = []
    done: list[Minute] = []
    with (
        tempfile.TemporaryDirectory(prefix="spoolscan-hour-", dir=folder) as place,
        Sink() as sink,
        Ours(Path(place), sink.port) as system,
    ):
        if not rate:
            order = Order(system.port, corpus, _TOP, sessions=sessions)
            top = median([run(system, sink, order) for _ in range(3)]).rate
            click.echo(f"at the most {top:.0f} messages a second")
            rate = top / 2
        count = max(1, round(rate * _MINUTE))
        order = Order(system.port, corpus, count, sessions=sessions, rate=rate)
        for number in range(1, minutes + 1):
            result = run(system, sink, order)
            done.append(Minute(result, _figures(result, system.roots())))
            click.echo(_told(number, done[-1]))
            refused = sum(n for what, n in result.replies.items() if not what.endswith(" 250"))
            words = [result.wrong(system.catches), f"{refused} refused" if refused else ""]
            wrong += [f"minute {number}: {word}" for word in words if word]
    tenths = _tenths(done)
    _show(tenths)
    total = sum(minute.result.came for minute in done)
    click.echo(f"{total} messages in {minutes} minutes, {rate:.0f} a second")
    wrong += grown(tenths["start"], tenths["end"])
    for words in wrong:
        click.echo(words)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
