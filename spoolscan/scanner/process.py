"""A process that is not our child, by a descriptor that means it and no other (pidfd_open(2))."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress


class Process:
    """``descriptor`` is that of process ``pid``; close it."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self._descriptor = descriptor

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def wait(self, seconds: float | None = None) -> bool:
        """Until it has ended; False where it takes longer than that."""
        end = select.poll()
        end.register(self._descriptor, select.POLLIN)
        return bool(end.poll(None if seconds is None else seconds * 1000))

    def close(self) -> None:
        os.close(self._descriptor)
