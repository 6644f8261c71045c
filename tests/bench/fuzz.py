"""Fuzz structure, names, decoders and unpackers: no uncaught exception, no hang.

    python tests/bench/fuzz.py --inputs 2000000 --seed 1 --into crashers

Uses every core.  A crasher is written into a directory as TARGET-DIGEST, its traceback printed;
move it to tests/corpus/crashers, where tests/test_fuzz.py tries it for ever, and mend what it
found.  Exits 0 when there is none, 1 when there is one or a process died.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import fuzzing  # noqa: E402 - found only by the line above
import mutation  # noqa: E402


def told(tallies: list[mutation.Tally]) -> str:
    return f"{sum(tally.kept for tally in tallies)} said something new"


if __name__ == "__main__":
    fuzzing.command(mutation.rounds, told)()
