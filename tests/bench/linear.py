"""Double each hostile dimension up to 10 MB, and print what reading it takes.

    python tests/bench/linear.py
    python tests/bench/linear.py --only words --repeats 5

The whole of inspect() with the shipped patterns and no engine.  Times are of the processor, the
least of some repeats, each size in a process of its own; memory is that process's peak, Python
and all.  "growth" is the mean factor of the last three doublings.

Exits 1 where a dimension grows by more than 2.4 a doubling (a fifth above linear), or where 10 MB
take more than a second or 256 MB.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import hostile  # noqa: E402 - found only by the line above

from spoolscan import share  # noqa: E402 - found only by the line above
from spoolscan.scanner.inspect import Tools, inspect  # noqa: E402 - as above
from spoolscan.scanner.patterns import Patterns  # noqa: E402 - as above

SIZES = tuple(10_000_000 >> shift for shift in (3, 2, 1, 0))
GROWTH = 2.4
SECONDS = 1.0
MEGABYTES = 256
_FLOOR = 0.02  # seconds; below, growth is noise


def _tools() -> Tools:
    def shipped(name: str) -> Patterns:
        return Patterns.parse((share.folder("etc") / name).read_bytes(), name)

    return Tools(bad=shipped("matches.bad"), doc=shipped("matches.doc"), engines=())


def _measured(name: str, size: int, repeats: int) -> tuple[float, float, str]:
    """Seconds, peak megabytes, and what was found: in a process that does nothing else."""
    tools = _tools()
    data = hostile.DIMENSIONS[name](size)
    best, verdict = float("inf"), ""
    for _ in range(repeats):
        started = time.process_time()
        report = inspect(data, tools).report
        best = min(best, time.process_time() - started)
        reasons = {finding.name for finding in report.findings if finding.engine == "reader"}
        verdict = ", ".join(sorted(reasons)[:2]) or str(report.verdict)
        if best > 2 * SECONDS:
            break
    return best, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, verdict


@click.command()
@click.option("--only", default="", help="Dimensions whose name has this in it.")
@click.option("--repeats", default=3, show_default=True)
def main(only: str, repeats: int) -> None:
    """Measure the growth of time and memory, and judge it."""
    console = Console(stderr=True)
    names = [name for name in hostile.DIMENSIONS if only in name]
    click.echo(f"{'dimension':32}{'1.25 MB':>9}{'2.5':>7}{'5':>7}{'10 MB':>8}  growth  peak MB")
    failures = 0
    for name in track(
        names, "measuring", console=console, disable=not console.is_terminal, transient=True
    ):
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            runs = [pool.apply(_measured, (name, size, repeats)) for size in SIZES]
        times = [seconds for seconds, _, _ in runs]
        growth = (max(times[-1], _FLOOR) / max(times[0], _FLOOR)) ** (1 / (len(SIZES) - 1))
        memory = runs[-1][1]
        wrong = [
            word
            for word, is_wrong in (
                ("GROWTH", growth > GROWTH),
                ("TIME", times[-1] > SECONDS),
                ("MEMORY", memory > MEGABYTES),
            )
            if is_wrong
        ]
        failures += bool(wrong)
        row = f"{name:32}{times[0]:9.3f}{times[1]:7.3f}{times[2]:7.3f}{times[3]:8.3f}"
        click.echo(f"{row}  {growth:6.2f}  {memory:7.0f}  {' '.join(wrong)} {runs[-1][2][:70]}")
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
