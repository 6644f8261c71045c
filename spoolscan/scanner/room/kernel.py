"""System calls that Python has no words for: by number, through syscall(2) and prctl(2) of libc.

Numbers differ between machines; where ours are not known, `Unsupported` is raised before anything
is asked for, and the room does without.  Sources: the kernel's asm/unistd_64.h (x86_64) and
asm-generic/unistd.h (aarch64).
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

_NUMBERS: Final = {
    "x86_64": """
        read 0, write 1, close 3, poll 7, mmap 9, mprotect 10, munmap 11, brk 12,
        rt_sigprocmask 14, rt_sigreturn 15, pread64 17, pwrite64 18, sched_yield 24, mremap 25,
        madvise 28, nanosleep 35, sendto 44, recvfrom 45, sendmsg 46, recvmsg 47, exit 60,
        capset 126, sigaltstack 131, gettid 186, futex 202, restart_syscall 219,
        clock_gettime 228, clock_nanosleep 230, exit_group 231, ppoll 271, set_robust_list 273,
        seccomp 317, getrandom 318, rseq 334, landlock_create_ruleset 444,
        landlock_restrict_self 446
    """,
    "aarch64": """
        close 57, read 63, write 64, pread64 67, pwrite64 68, ppoll 73, capset 91, exit 93,
        exit_group 94, futex 98, set_robust_list 99, nanosleep 101, clock_gettime 113,
        clock_nanosleep 115, sched_yield 124, restart_syscall 128, sigaltstack 132,
        rt_sigprocmask 135, rt_sigreturn 139, gettid 178, sendto 206, recvfrom 207, sendmsg 211,
        recvmsg 212, brk 214, munmap 215, mremap 216, mmap 222, mprotect 226, madvise 233,
        seccomp 277, getrandom 278, rseq 293, landlock_create_ruleset 444,
        landlock_restrict_self 446
    """,
}
_libc: Final = ctypes.CDLL(None, use_errno=True)


class Unsupported(Exception):
    """This machine, or its kernel, has no such thing; the text says what."""


def machine() -> str:
    """The machine whose numbers count for this process.  Raises Unsupported."""
    name = os.uname().machine
    if name not in _NUMBERS or struct.calcsize("P") != 8:
        raise Unsupported(f"no system call numbers for {name}; known: {', '.join(_NUMBERS)}")
    return name


def numbers() -> dict[str, int]:
    """Each system call we know, and its number; what a machine does not have is not in it.

    Raises Unsupported.
    """
    pairs = (pair.split() for pair in _NUMBERS[machine()].split(","))
    return {name: int(number) for name, number in pairs}


def call(name: str, *arguments: object) -> int:
    """Raises Unsupported and OSError."""
    found: int = _libc.syscall(ctypes.c_long(numbers()[name]), *arguments)
    return _checked(found)


def prctl(option: int, value: int = 0) -> None:
    """Raises OSError."""
    zero = ctypes.c_ulong(0)
    _checked(_libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero))


def _checked(found: int) -> int:
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return found
