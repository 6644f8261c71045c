"""Limits on what a room may take: memory, files, processes.  setrlimit(2).

The clock is not among them: whoever waits for the room's answer keeps that.
"""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Final

# A few messages, a scratch, and what comes and goes with a frame.  And no more of its user's may be
# on their way through sockets when it sends one (unix(7)): the messages of all workers, perhaps.
_DESCRIPTORS: Final = 64


def address_space() -> int:
    """Bytes that this process has mapped; 0 where that is not told."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def restrict(memory: int, file_size: int) -> None:
    """Bytes of address space in all, and of the largest file.

    No process or thread can be started any more, but by root.  Raises OSError and ValueError.
    """
    limits = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: file_size,
        resource.RLIMIT_NOFILE: _DESCRIPTORS,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    for limit, wanted in limits.items():
        _, hard = resource.getrlimit(limit)
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(limit, (value, value))
