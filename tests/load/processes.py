"""What a tree of processes has used so far, by /proc."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_PAUSE = 0.5  # seconds between two looks at the memory


def tree(roots: Iterable[int]) -> Iterator[int]:
    """The processes and all below them."""
    for pid in roots:
        yield pid
        with suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                yield from tree(map(int, (task / "children").read_text().split()))


def own_cpu(pid: int) -> float:
    """Seconds of CPU of one process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK


def cpu(roots: Sequence[int]) -> float:
    """Seconds of CPU, those of the dead that were waited for included."""
    ticks = 0
    for pid in tree(roots):
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks * _TICK


def named(roots: Iterable[int]) -> Iterator[tuple[str, int]]:
    """The processes of `tree`, each with the last word of its command that is no option."""
    for pid in tree(roots):
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace").split("\0")
            spoken = [word for word in words if word and not word.startswith("-")]
            yield re.split(r"[/.]", spoken[-1])[-1] if spoken else "?", pid


def resident(pid: int) -> int:
    """Bytes in memory, shared ones too; 0 of one that is gone."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def descriptors(pid: int) -> int:
    """How many are open; 0 of one that is gone, or is not ours to look at."""
    with suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return 0


def memory(roots: Sequence[int]) -> int:
    """Bytes: what several share counts in parts (PSS)."""
    total = 0
    for pid in tree(roots):
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total * 1024


class Peak:
    """The most memory while it is open; looked at twice a second, and at the end."""

    def __init__(self, roots: Sequence[int]) -> None:
        self.bytes = 0
        self._roots = roots
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.bytes = max(self.bytes, memory(self._roots))

    def _watch(self) -> None:
        while not self._over.wait(_PAUSE):
            self.bytes = max(self.bytes, memory(self._roots))
