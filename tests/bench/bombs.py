"""What it takes to meet each bomb: seconds, memory, and what is said of it.

    python tests/bench/bombs.py
    python tests/bench/bombs.py --only zip

The whole of inspect() as shipped, on a mail with the bomb attached, each in a process of its own.
Seconds are of the processor, helper programs and all; memory is the peak of that process, or of the
largest of its helpers where that is more.

Exits 1 where one takes more than two seconds or 512 MB, or is called clean.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
from pathlib import Path

import click

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import bombs  # noqa: E402 - found only by the line above

from spoolscan import share  # noqa: E402 - found only by the line above
from spoolscan.config import Config  # noqa: E402 - as above
from spoolscan.scanner.inspect import inspect  # noqa: E402 - as above
from spoolscan.scanner.toolbox import Toolbox  # noqa: E402 - as above
from spoolscan.verdict import Verdict  # noqa: E402 - as above

SECONDS = 2.0
MEGABYTES = 512


def _seconds() -> float:
    return sum(os.times()[:4])


def _measured(name: str, data: bytes) -> tuple[float, float, str, bool]:
    """Seconds, peak megabytes, what was found first, and whether it was called clean."""
    tools = Toolbox(Config(root=share.folder("etc").parent)).tools()
    mail = bombs.mail(name, data)
    started = _seconds()
    report = inspect(mail, tools).report
    seconds = _seconds() - started
    peaks = (
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    said = report.findings[0].name if report.findings else "nothing"
    return seconds, max(peaks) / 1024, said, report.verdict is Verdict.CLEAN


@click.command()
@click.option("--only", default="", help="Bombs whose name has this in it.")
def main(only: str) -> None:
    """Light each bomb, measure it, and judge the figures."""
    click.echo(f"{'bomb':30}{'bytes':>9}{'seconds':>9}{'peak MB':>9}  said of it")
    failures = 0
    for name, make in bombs.BOMBS.items():
        if only not in name:
            continue
        data = make()
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            seconds, memory, said, clean = pool.apply(_measured, (name, data))
        wrong = [
            word
            for word, is_wrong in (
                ("TIME", seconds > SECONDS),
                ("MEMORY", memory > MEGABYTES),
                ("CLEAN", clean),
            )
            if is_wrong
        ]
        failures += bool(wrong)
        row = f"{name:30}{len(data):9}{seconds:9.2f}{memory:9.0f}"
        click.echo(f"{row}  {said[:60]} {' '.join(wrong)}")
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
