"""fsync for an event loop, without a thread: the kernel's own asynchronous I/O (io_submit(2)).

A thread for each fsync costs more than the fsync does: it is woken, waits for the interpreter's
lock, gives it away, and wakes the loop.  Here the loop hands all that is to be synced to the kernel
in one call, and hears by an eventfd(2) what is done; meanwhile nothing is waited for.

Of Linux AIO two commands are used, IOCB_CMD_FSYNC and IOCB_CMD_FDSYNC (Linux 4.18 or later), and
nothing is read or written by it.  It is called by number, for the C library does not know it; where
a machine's numbers are not known here, or the kernel refuses, `Syncer` uses threads.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import platform
import struct
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, Protocol

from spoolscan import disk

# io_setup, io_destroy, io_submit, io_getevents: asm/unistd_64.h, asm-generic/unistd.h
_GENERIC: Final = (0, 1, 2, 4)
_NUMBERS: Final = {
    "x86_64": (206, 207, 209, 208),
    "aarch64": _GENERIC,
    "riscv64": _GENERIC,
}
_FSYNC: Final = 2
_FDSYNC: Final = 3
_BY_EVENTFD: Final = 1  # IOCB_FLAG_RESFD
# linux/aio_abi.h, on machines that store the low byte first.
# iocb: data, key, rw_flags, opcode, reqprio, descriptor, buf, nbytes, offset, -, flags, resfd
_IOCB: Final = struct.Struct("<QIIHhIQQqQII")
_EVENT: Final = struct.Struct("<QQqq")  # data, the iocb's address, result, second result
_libc: Final = ctypes.CDLL(None, use_errno=True)


class Backend(Protocol):
    """Syncs descriptors; the caller keeps each open until its future is done."""

    def begin(self, descriptor: int, future: asyncio.Future[None], *, data_only: bool) -> None:
        """``future`` ends when it is on the disk, with OSError where it is not."""
        ...

    def close(self) -> None: ...


class Kernel:
    """At most ``most`` are under way at once; the rest wait here.

    Raises OSError where the kernel has no AIO for us.  For one event loop.
    """

    def __init__(self, most: int) -> None:
        # A program of 32 bits has other numbers on the same machine: 206 is setgroups(2) there.
        numbers = _NUMBERS.get(platform.machine()) if sys.maxsize > 2**32 else None
        if numbers is None:
            raise OSError(f"AIO: no numbers of system calls for {platform.machine()}")
        setup, self._destroy, self._submit, self._getevents = numbers
        self._context = ctypes.c_ulong(0)
        _call(setup, ctypes.c_ulong(most), ctypes.byref(self._context))
        self._most = most
        self._blocks = ctypes.create_string_buffer(_IOCB.size * most)
        start = ctypes.addressof(self._blocks)
        self._pointers = (ctypes.c_void_p * most)(*(start + _IOCB.size * i for i in range(most)))
        self._events = ctypes.create_string_buffer(_EVENT.size * most)
        self._at_once = ctypes.create_string_buffer(16)  # a timespec of no time
        self._number = 0
        self._under_way: dict[int, asyncio.Future[None]] = {}
        self._waiting: deque[tuple[int, int, asyncio.Future[None]]] = deque()
        self._handing = False
        self._loop = asyncio.get_running_loop()
        self._eventfd = -1
        try:
            self._try()
            self._eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        except OSError:
            _call(self._destroy, self._context)
            raise
        self._loop.add_reader(self._eventfd, self._hear)

    def _try(self) -> None:
        """Raises OSError where AIO is there and cannot do what we want of it."""
        root = disk.open_directory("/")
        try:
            _IOCB.pack_into(self._blocks, 0, 0, 0, 0, _FSYNC, 0, root, 0, 0, 0, 0, 0, 0)
            one = ctypes.c_long(1)
            _call(self._submit, self._context, one, self._pointers)
            _call(self._getevents, self._context, one, one, self._events, None)
        finally:
            disk.close(root)

    def begin(self, descriptor: int, future: asyncio.Future[None], *, data_only: bool) -> None:
        self._waiting.append((_FDSYNC if data_only else _FSYNC, descriptor, future))
        if not self._handing:  # all that is asked for in one turn of the loop goes together
            self._handing = True
            self._loop.call_soon(self._hand_over)

    def close(self) -> None:
        """What is under way is waited for by the kernel.  A second time this does nothing."""
        if self._eventfd < 0:
            return
        self._loop.remove_reader(self._eventfd)
        with suppress(OSError):
            _call(self._destroy, self._context)
        os.close(self._eventfd)
        self._eventfd = -1

    def _hand_over(self) -> None:
        self._handing = False
        # Again where none was taken: there is no event to come then, and who waits here hears none.
        while self._waiting and len(self._under_way) < self._most:
            self._hand_some_over()

    def _hand_some_over(self) -> None:
        count = min(len(self._waiting), self._most - len(self._under_way))
        asked = []
        for place in range(count):
            what, descriptor, future = self._waiting.popleft()
            self._number += 1
            asked.append(self._number)
            self._under_way[self._number] = future
            _IOCB.pack_into(
                self._blocks, place * _IOCB.size,
                self._number, 0, 0, what, 0, descriptor, 0, 0, 0, 0, _BY_EVENTFD, self._eventfd,
            )  # fmt: skip
        taken = 0
        while taken < count:
            there = ctypes.byref(self._pointers, taken * ctypes.sizeof(ctypes.c_void_p))
            try:
                taken += _call(self._submit, self._context, ctypes.c_long(count - taken), there)
            except OSError as error:  # of the first of those that are left
                self._end(asked[taken], error)
                taken += 1

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._eventfd)
        while self._reap() == self._most:
            pass
        if self._waiting:
            self._hand_over()

    def _reap(self) -> int:
        """Hear of some that are done; returns how many."""
        none, most = ctypes.c_long(0), ctypes.c_long(self._most)
        try:
            there = _call(self._getevents, self._context, none, most, self._events, self._at_once)
        except InterruptedError:  # by a signal, and nothing is there
            return 0
        except OSError as error:  # so nobody knows of any that it is on the disk
            for number in list(self._under_way):
                self._end(number, error)
            return 0
        for place in range(there):
            number, _, result, _ = _EVENT.unpack_from(self._events, place * _EVENT.size)
            self._end(number, OSError(-result, os.strerror(-result)) if result < 0 else None)
        return there

    def _end(self, number: int, error: OSError | None) -> None:
        future = self._under_way.pop(number, None)  # None: told already that nobody knows
        if future is not None:
            settle(future, error)


class Threads:
    """The same by threads, ``most`` of them."""

    def __init__(self, most: int) -> None:
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="sync")

    def begin(self, descriptor: int, future: asyncio.Future[None], *, data_only: bool) -> None:
        sync = disk.fdatasync if data_only else disk.fsync
        loop = future.get_loop()

        def work() -> None:
            error = None
            try:
                sync(descriptor)
            except Exception as failure:
                error = failure
            loop.call_soon_threadsafe(settle, future, error)

        self._threads.submit(work)

    def close(self) -> None:
        self._threads.shutdown()


def settle(future: asyncio.Future[None], error: BaseException | None) -> None:
    """End it, unless nobody waits for it any more."""
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
