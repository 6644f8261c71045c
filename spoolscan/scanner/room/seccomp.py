"""seccomp: the few system calls that reading needs, and EPERM for all others.  seccomp(2).

A room reads and writes what it was handed, takes memory, waits, and ends.  It cannot open,
connect, start a thread or a process, run a program, send a signal, or make memory executable; nor
share memory, which no limit would count.  A filter in the kernel's own small language (struct
sock_filter, linux/filter.h) decides; it is put on all threads, and nothing takes it off.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Iterator
from typing import Final

from spoolscan.scanner.room import kernel

# In the order in which they are looked for.
ALLOWED: Final = (
    *("futex", "read", "pread64", "pwrite64", "recvmsg", "sendmsg", "recvfrom", "sendto", "poll"),
    *("ppoll", "munmap", "madvise", "brk", "mremap", "close", "write", "clock_nanosleep"),
    *("nanosleep", "clock_gettime", "getrandom", "gettid", "sched_yield", "sigaltstack"),
    *("rt_sigprocmask", "rt_sigreturn", "restart_syscall", "exit", "exit_group"),
    *("rseq", "set_robust_list"),  # a thread that is just starting may not have come to these yet
)
# Allowed while none of these bits is set in the argument of that number.
_PROT_EXEC: Final = 4
_MAP_SHARED: Final = 1
UNLESS: Final = {
    "mmap": ((2, _PROT_EXEC), (3, _MAP_SHARED)),
    "mprotect": ((2, _PROT_EXEC),),
}

_ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # linux/audit.h
_SET_MODE_FILTER, _TSYNC = 1, 1
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000 | errno.EPERM
_KILL: Final = 0x80000000

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def restrict() -> None:
    """Shut all threads of this process in, for good.

    Needs no_new_privs.  Raises Unsupported and OSError.
    """
    code = program(kernel.machine(), kernel.numbers())
    whole = _Program(len(code) // 8, code)
    thread = kernel.call("seccomp", _SET_MODE_FILTER, _TSYNC, ctypes.byref(whole))
    if thread:
        raise OSError(errno.EBUSY, f"thread {thread} has a filter of its own")


def program(machine: str, numbers: dict[str, int]) -> bytes:
    """The filter for a machine, with its numbers of system calls."""
    return b"".join(_instructions(_ARCHITECTURES[machine], numbers))


def _instructions(architecture: int, numbers: dict[str, int]) -> Iterator[bytes]:
    # Numbers mean something else to programs of 32 bits, which this process may call as well.
    yield _one(_LOAD, _ARCHITECTURE)
    yield _one(_EQUAL, architecture, 1, 0)
    yield _one(_RETURN, _KILL)
    yield _one(_LOAD, _NUMBER)
    for name in ALLOWED:
        if name in numbers:
            yield _one(_EQUAL, numbers[name], 0, 1)
            yield _one(_RETURN, _ALLOW)
    for name, conditions in UNLESS.items():
        yield _one(_EQUAL, numbers[name], 0, 3 * len(conditions) + 1)
        for argument, bits in conditions:
            yield _one(_LOAD, _ARGUMENTS + 8 * argument)  # the low half, on both machines
            yield _one(_ANY_BIT, bits, 0, 1)
            yield _one(_RETURN, _REFUSE)
        yield _one(_RETURN, _ALLOW)
    yield _one(_RETURN, _REFUSE)


def _one(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
