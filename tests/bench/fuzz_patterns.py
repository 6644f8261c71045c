"""Hold the pattern translator against the real grep, for as many patterns as there is time.

    python tests/bench/fuzz_patterns.py --patterns 100000 --seed 1

Prints what became of the patterns and every disagreement.  Exits 0 when there is none, 1 when
there is one, 2 without GNU grep.  The same seed gives the same patterns; what it finds belongs
into tests/corpus/patterns.bre.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import grepfuzz  # noqa: E402 - found only by the line above


@click.command()
@click.option("--patterns", default=20_000, show_default=True, help="How many to make.")
@click.option("--seed", type=int, default=None, help="Of the random numbers; told at the end.")
def main(patterns: int, seed: int | None) -> None:
    """Compare random patterns with grep, and print the disagreements."""
    console = Console(stderr=True)
    if not grepfuzz.is_gnu():
        console.print("no GNU grep here; apt-get install grep")
        raise SystemExit(2)
    seed = secrets.randbelow(1 << 32) if seed is None else seed
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    # Without a terminal there is nobody to watch: only the result is printed.
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("patterns", total=patterns)

        def report(tally: grepfuzz.Tally) -> None:
            words = f"patterns, {len(tally.disagreements)} disagreements"
            progress.update(task, completed=tally.patterns, description=words)

        tally = grepfuzz.rounds(patterns, seed, report)
    click.echo(f"seed {seed}: {tally.patterns} patterns, {tally.translated} translated,")
    click.echo(f"{tally.invalid} refused as grep does, {tally.answers} answers compared,")
    click.echo(f"{tally.contradictions} batches in which grep contradicts its own single answers,")
    click.echo(f"{tally.unanswered} batches over which grep itself took too long")
    for reason, count in tally.unsupported.most_common():
        click.echo(f"{count:8} refused: {reason}")
    for disagreement in tally.disagreements:
        click.echo(f"DISAGREEMENT: {disagreement}")
    raise SystemExit(1 if tally.disagreements else 0)


if __name__ == "__main__":
    main()
