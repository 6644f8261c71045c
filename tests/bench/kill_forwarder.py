"""Kill the forwarder at 500 random moments, and count what the next hop got.

    python tests/bench/kill_forwarder.py
    python tests/bench/kill_forwarder.py --kills 50 --seed 3

Exits 1 where a recipient is lost, or more were delivered to twice than were in flight at a kill.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import kills  # noqa: E402 - found only by the line above


def _say(tally: kills.Tally) -> None:
    if tally.kills % 50 == 0:
        click.echo(f"{tally.kills} kills, {tally.everybody} recipients so far")


@click.command()
@click.option("--kills", "count", default=500, show_default=True)
@click.option("--seed", default=1, show_default=True, help="Of the moments and the messages.")
def main(count: int, seed: int) -> None:
    """Run it and print the counts."""
    with tempfile.TemporaryDirectory(prefix="spoolscan-kills-") as folder:
        tally = kills.run(Path(folder), count, seed, _say)
    click.echo(
        f"{tally.kills} kills, {tally.everybody} recipients: {tally.lost} lost,"
        f" {tally.duplicates} duplicates, {len(tally.in_flight)} in flight at a kill"
    )
    raise SystemExit(1 if tally.wrong else 0)


if __name__ == "__main__":
    main()
