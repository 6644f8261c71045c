"""What one minute of load cost, and whether a later one costs more.

What grows is told by the medians of the second tenth of all minutes (the first fills caches) and of
the last: memory by more than a tenth and 4 MiB, descriptors by more than a tenth and 4, p50 by more
than a half and 5 ms, p99 to more than twice and 50 ms.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

from load import processes
from load.runs import Result

Figures = dict[str, float]  # by what and unit, as "smtpd MiB"
_MEBI = 2**20
# What counts as growth: by more than this share, and by more than so much.
_BOUNDS = {
    "MiB": (0.1, 4.0),
    "descriptors": (0.1, 4.0),
    "p50 ms": (0.5, 5.0),
    "p99 ms": (1.0, 50.0),
}


def figures(result: Result, roots: Sequence[int]) -> Figures:
    """Latency until the reply and until the next hop; of each program, all its processes together,
    memory (RSS) and open descriptors."""
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


def tenths(minutes: Sequence[Figures]) -> dict[str, Figures]:
    """Medians of the second tenth, of one in the middle, and of the last."""
    length = max(1, len(minutes) // 10)
    middle = len(minutes) // 2
    parts = {
        "start": minutes[length : 2 * length] or minutes[:length],
        "middle": minutes[middle : middle + length],
        "end": minutes[-length:],
    }
    return {
        name: {what: statistics.median(one.get(what, 0.0) for one in part) for what in minutes[-1]}
        for name, part in parts.items()
    }


def grown(start: Figures, end: Figures) -> list[str]:
    """What is more at the end than it may be, in words."""
    found = []
    for what, value in end.items():
        share, amount = next(bounds for unit, bounds in _BOUNDS.items() if what.endswith(unit))
        before = start.get(what, 0.0)
        if value > before * (1 + share) and value > before + amount:
            found.append(f"{what} grows: {before:.0f}, {value:.0f}")
    return found
