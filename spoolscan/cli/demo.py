"""``spoolscan demo``: the whole program on a dozen messages, with nothing configured."""

from __future__ import annotations

import textwrap
import time
from typing import Final

import click

from spoolscan.cli.samples import Example, examples
from spoolscan.cli.trial import Outcome, trial

_ROW: Final = "{:<28} {:<10} {:>7}  {}"
_BECAUSE: Final = 50  # the column where the last word of a row begins; 80 is where a line ends


@click.command(short_help="Try it all in a temporary spool.")
@click.option("--keep", is_flag=True, help="Leave the spool there to be looked at.")
def demo(*, keep: bool) -> int:
    """Run everything on sample messages in a temporary spool; show where each went and why.

    Exits 0 when each went where it belongs.
    """
    wrong = 0
    with trial("demo", keep=keep) as place:
        click.echo(f"A spool in {place.root}, SMTP on 127.0.0.1:{place.port}.")
        click.echo("Starting all stages ...\n")
        with place.running():
            click.echo(_ROW.format("message", "went to", "after", "because"))
            for example in examples():
                queue_id = place.send(example.content)
                began = time.monotonic()
                outcome = place.follow(queue_id)
                wrong += outcome.fate != example.fate
                click.echo(_row(example, outcome, time.monotonic() - began))
        told = len(list((place.maildir / "new").iterdir()))
        click.echo(f"\n{told} mails went to the maildir: the delivered ones and the notices.")
        if keep:
            click.echo(f"Look at quarantine/, hold/ and maildir/ in {place.root}")
        else:
            click.echo("All that is removed again; with --keep it stays to be looked at.")
    return 1 if wrong else 0


def _row(example: Example, outcome: Outcome, seconds: float) -> str:
    note = "" if outcome.fate == example.fate else f" (expected: {example.fate})"
    because = textwrap.wrap(outcome.why + note, 80 - _BECAUSE) or [""]
    took = f"{seconds * 1000:.0f} ms"
    first = _ROW.format(example.title, outcome.fate, took, because[0])
    return "\n".join([first, *(" " * (_BECAUSE - 1) + line for line in because[1:])])
