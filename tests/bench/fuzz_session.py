"""Fuzz the receiver's protocol: no uncaught exception, no state out of the table, no bad reply.

    python tests/bench/fuzz_session.py --inputs 2000000 --seed 1 --into crashers

Uses every core.  A crasher is written into a directory as session-DIGEST, its story printed: write
a test from it.  Exits 0 when there is none, 1 when there is one or a process died.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import fuzzing  # noqa: E402 - found only by the line above
import sessionfuzz  # noqa: E402


def told(tallies: list[sessionfuzz.Tally]) -> str:
    states = sum((tally.states for tally in tallies), Counter[str]())
    return f"ended in {', '.join(f'{name} {count}' for name, count in states.most_common())}"


if __name__ == "__main__":
    fuzzing.command(sessionfuzz.rounds, told)()
