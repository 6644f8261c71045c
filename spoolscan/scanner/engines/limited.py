"""No more than so many scans at once, over all worker processes.

One lock file a slot below the spool's var/; a scan holds the lock of one.  The kernel lets go of
the lock of a process that is killed, so no slot is ever lost, and there is nothing to clean up.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from filelock import FileLock, Timeout

from spoolscan.errors import TemporaryFailure
from spoolscan.scanner.engines.contract import Engine, Sample
from spoolscan.verdict import Finding

_PAUSE: Final = 0.02  # seconds between two looks for a free slot


class Limited:
    """An engine that waits its turn, at most ``timeout`` seconds: then it is a TemporaryFailure."""

    def __init__(self, engine: Engine, slots: int, folder: Path, timeout: float) -> None:
        self._engine = engine
        self._timeout = timeout
        name = quote(engine.name, safe="")
        self._slots = [
            FileLock(folder / f"engine-{name}-{number}.lock", mode=0o600) for number in range(slots)
        ]

    @property
    def name(self) -> str:
        return self._engine.name

    def scan(self, samples: Sequence[Sample], deadline: float = math.inf) -> list[Finding]:
        with self._turn(deadline):
            return self._engine.scan(samples, deadline)

    def awake(self) -> str:
        return self._engine.awake()

    def close(self) -> None:
        self._engine.close()

    @contextmanager
    def _turn(self, deadline: float) -> Iterator[None]:
        """Hold one slot.  Raises TemporaryFailure where none gets free in time."""
        deadline = min(deadline, time.monotonic() + self._timeout)
        while (slot := self._free()) is None:
            if time.monotonic() >= deadline:
                raise TemporaryFailure(
                    f"engine {self.name}: all {len(self._slots)} scans at once are taken; "
                    "raise its concurrency, or give it more time"
                )
            time.sleep(_PAUSE)
        try:
            yield
        finally:
            slot.release()

    def _free(self) -> FileLock | None:
        first = os.getpid() % len(self._slots)  # workers need not all ask for the same one
        for slot in [*self._slots[first:], *self._slots[:first]]:
            try:
                slot.acquire(blocking=False)
            except Timeout:
                continue
            except OSError as error:
                doing = f"engine {self.name}: locking {slot.lock_file}"
                raise TemporaryFailure.from_os(error, doing) from None
            return slot
        return None
