"""Forward 10,000 messages to a server of many moods, and account for every recipient.

    python tests/bench/moody.py
    python tests/bench/moody.py --messages 1000 --seed 7

Half of them by DATA, half by BDAT.  Exits 1 where a recipient is lost, was delivered to twice, or
was delivered to and reported as not.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import click

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import moody  # noqa: E402 - found only by the line above


@click.command()
@click.option("--messages", default=10_000, show_default=True)
@click.option("--seed", default=1, show_default=True, help="Of the server's moods.")
def main(messages: int, seed: int) -> None:
    """Run both halves and print what became of everybody."""
    logging.disable(logging.CRITICAL)
    wrong = 0
    for chunking in (False, True):
        with tempfile.TemporaryDirectory(prefix="spoolscan-moody-") as folder:
            account = moody.run(
                Path(folder), messages // 2, seed + chunking, chunking=chunking, tell=click.echo
            )
        wrong += len(account.wrong)
        bad = ", ".join(f"{step} {times}" for step, times in sorted(account.bad.items()))
        click.echo(
            f"{'BDAT' if chunking else 'DATA'}: {messages // 2} messages,"
            f" {len(account.everybody)} recipients, {account.connections} connections\n"
            f"  misbehaved: {bad}\n"
            f"  delivered {len(account.delivered)},"
            f" reported {len(account.reported)} and {len(account.told_in_hold)} in hold/,"
            f" waiting {len(account.waiting)}\n"
            f"  lost {len(account.lost)}, delivered twice {len(account.doubled)},"
            f" delivered and reported {len(account.contradicted)}"
        )
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
