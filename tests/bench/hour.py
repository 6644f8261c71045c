"""An hour at half of the rate that the gateway can take: does anything grow?

    python tests/bench/hour.py
    python tests/bench/hour.py --minutes 5
    python tests/bench/hour.py --minutes 600 --rate 50 --corpus mixed

The top rate is measured first (the median of three rounds), with every sync that a promise takes,
on the disk of ``--folder``.  Then come the minutes, each a round of its own: all that was accepted
in it has to be with the next hop, whole and once, before the next begins.  A line a minute: rate,
latency until the reply and until the next hop, and of each program its memory (RSS) and its open
descriptors, those of its processes together.

`load.growth` says what counts as growth.  Exits 1 where something grows, or where a message was
lost, doubled or damaged.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from load import growth, mails  # noqa: E402 - found only by the line above
from load.generator import Order  # noqa: E402 - as above
from load.runs import Result, Sink, median, run  # noqa: E402 - as above
from load.systems import Ours  # noqa: E402 - as above

_MINUTE = 60  # seconds
_TOP = 1000  # messages of a round that measures the top rate


def _told(number: int, result: Result, figures: growth.Figures) -> str:
    words = "; ".join(f"{what} {value:.0f}" for what, value in figures.items())
    short = words.replace(" descriptors ", " fd ")
    return f"{number}: {result.rate:.0f}/s; {short}"


def _show(tenths: dict[str, growth.Figures]) -> None:
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
    done: list[growth.Figures] = []
    total = 0
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
            total += result.came
            done.append(growth.figures(result, system.roots()))
            click.echo(_told(number, result, done[-1]))
            refused = sum(n for what, n in result.replies.items() if not what.endswith(" 250"))
            words = [result.wrong(system.catches), f"{refused} refused" if refused else ""]
            wrong += [f"minute {number}: {word}" for word in words if word]
    tenths = growth.tenths(done)
    _show(tenths)
    click.echo(f"{total} messages in {minutes} minutes, {rate:.0f} a second")
    wrong += growth.grown(tenths["start"], tenths["end"])
    for words in wrong:
        click.echo(words)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
