"""A process made as a copy of another: what it does not take along, and how it is called."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

_ORDERS: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_STARTS_AT, _ENDS_AT = 45, 46  # proc_pid_stat(5): arg_start and arg_end, counted behind the name


def fork() -> int:
    """As os.fork, for a process with a single thread; the copy takes orders as a new one does.

    What it is copied from is never taken down in it: the numbers of its descriptors are others' by
    then.  So it has to end by os._exit.  Raises OSError.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ORDERS)  # none is lost between the two
    try:
        child = os.fork()
        if child == 0:
            gc.freeze()
            signal.set_wakeup_fd(-1)
            for number in _ORDERS:
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return child
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def keep(*kept: int, instead: Sequence[int] = (0, 1)) -> None:
    """Close all but these and the standard ones, of which some are /dev/null ``instead``.

    Raises OSError.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in instead:
        os.dup2(nothing, standard)
    before = 2
    for number in sorted(kept):
        os.closerange(before + 1, number)
        before = number
    os.closerange(before + 1, os.sysconf("SC_OPEN_MAX"))


def shown() -> list[str]:
    """As what ps(1) shows us, without the interpreter: so there is room for a word more."""
    with suppress(OSError):
        line = Path("/proc/self/cmdline").read_text("utf-8", "surrogateescape")
        words = line.rstrip("\0").split("\0")[1:]
        return words[words[:1] == ["-m"] :]
    return []


def rename(words: Sequence[str]) -> None:
    """Be shown by ps(1) as this command, as far as there is room in place of the one we were.

    proc_pid_cmdline(5): it is what lies in our memory where the kernel put our arguments.
    """
    with suppress(OSError):
        stat = Path("/proc/self/stat").read_text("utf-8", "replace")
        start, end = map(int, stat.rpartition(")")[2].split()[_STARTS_AT : _ENDS_AT + 1])
        line = b"".join(os.fsencode(word) + b"\0" for word in words)
        if end > start:
            ctypes.memmove(start, line[: end - start - 1].ljust(end - start, b"\0"), end - start)
