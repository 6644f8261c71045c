"""One small parent for the stages: starts them, restarts what dies, leaves no orphan.

Each stage is a process of its own that says READY=1 on a socket we listen on (the protocol of
sd_notify(3), so that the same stage runs under systemd unchanged).  When all have said so, we print
``READY`` on standard output and tell systemd the same.

A stage may begin as a copy of us, and share what we have loaded for all of them.  One that dies is
started again as a program of its own, so that no two lives of it lie alike in memory, and what was
installed meanwhile counts: after a pause that doubles while it keeps dying.  But one that gives a
reason before all are ready (a bad setting, a port that is in use, another spoolscan on this spool)
ends us all, with its exit status.  SIGTERM and SIGINT end the stages, the one started last first;
SIGHUP is passed on.  Should we be killed outright, the kernel ends the stages with us
(PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

from spoolscan import log
from spoolscan.errors import ConfigError, SpoolscanError, TemporaryFailure
from spoolscan.fork import fork, keep, rename
from spoolscan.ready import notify

STAGE: Final = "run"
_PR_SET_PDEATHSIG: Final = 1
_FIRST_PAUSE: Final = 1.0  # seconds
_LONGEST_PAUSE: Final = 60.0
_STEADY: Final = 60.0  # a stage that lived this long starts with a short pause again
_GRACE: Final = 30.0  # seconds a stage has to end cleanly
_REASONS: Final = {kind.exit_status: kind for kind in (ConfigError, TemporaryFailure)}
_libc: Final = ctypes.CDLL(None)
Life = Callable[[], int]
"""What a stage does, in a process of its own; returns the exit status."""


def _die_with(parent: int) -> None:
    """In the child: be killed when the parent is, also when it is gone already."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(0)


class Stage:
    """One stage's process and its life: the ``first`` in a copy of us, all others as a program."""

    def __init__(
        self, name: str, command: Sequence[str], first: Life | None, socket_path: str
    ) -> None:
        self.name = name
        self.pid = 0  # while it runs
        self._command = command
        self._first = first
        self._socket_path = socket_path
        self._ended: asyncio.Future[int] | None = None

    def start(self) -> None:
        """Raises OSError: no memory, too many processes, too many open files."""
        parent = os.getpid()
        first, self._first = self._first, None
        child = fork()
        if child == 0:
            self._become(parent, first)
        try:
            end = os.pidfd_open(child)
        except OSError:  # nobody would hear of its end
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise
        self.pid = child
        loop = asyncio.get_running_loop()
        ended = self._ended = loop.create_future()

        def over() -> None:
            loop.remove_reader(end)
            os.close(end)
            self.pid = 0
            ended.set_result(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

        loop.add_reader(end, over)

    def _become(self, parent: int, life: Life | None) -> NoReturn:
        """In the child: live."""
        status = os.EX_OSERR
        try:
            _die_with(parent)
            keep()
            os.environ["NOTIFY_SOCKET"] = self._socket_path
            if life is None:
                os.execv(self._command[0], [*self._command])  # noqa: S606 - no shell
            rename(self._command)
            status = life()
        except OSError as error:
            log.event(STAGE, "-", logging.ERROR, event="not-started", stage=self.name, error=error)
        finally:
            os._exit(status)

    async def wait(self) -> int:
        """Its exit status, once it has ended; negative: killed by that signal."""
        return 0 if self._ended is None else await asyncio.shield(self._ended)

    def signal(self, number: signal.Signals) -> None:
        if self.pid:
            os.kill(self.pid, number)

    async def end(self) -> None:
        """SIGTERM, then SIGKILL when that is not heard."""
        self.signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.wait(), _GRACE)
        except TimeoutError:
            log.event(STAGE, "-", logging.ERROR, event="killed", stage=self.name)
            self.signal(signal.SIGKILL)
            await self.wait()


class Supervisor:
    """Keeps stages running until told to stop."""

    def __init__(self, stages: Sequence[tuple[str, Sequence[str], Life | None]]) -> None:
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._notices.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._notices.bind("")  # the kernel chooses an abstract name, which goes when we go
        name = "@" + self._notices.getsockname()[1:].decode("ascii")
        self._stages = [Stage(*stage, name) for stage in stages]
        self._stop = asyncio.Event()
        self._ready: set[int] = set()  # process ids that said so
        self._started = False
        self._failure: SpoolscanError | None = None

    async def run(self) -> None:
        """Until SIGTERM or SIGINT.  Raises ConfigError, TemporaryFailure where one cannot start."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        loop.add_reader(self._notices, self._heard)
        keepers = [asyncio.create_task(self._keep(stage)) for stage in self._stages]
        try:
            await self._stop.wait()
        finally:
            notify("STOPPING=1")
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
            for stage in reversed(self._stages):
                await stage.end()
            loop.remove_reader(self._notices)
            self._notices.close()
        if self._failure is not None:
            raise self._failure

    def _reload(self) -> None:
        for stage in self._stages:
            stage.signal(signal.SIGHUP)

    def _heard(self) -> None:
        """A stage said something; believed only by the process id the kernel vouches for."""
        with contextlib.suppress(BlockingIOError):
            while True:
                size = socket.CMSG_SPACE(12)
                data, control, _, _ = self._notices.recvmsg(4096, size)
                sender = int.from_bytes(control[0][2][:4], sys.byteorder) if control else 0
                if sender and b"READY=1" in data.split(b"\n"):
                    self._ready.add(sender)
                    self._announce()

    def _announce(self) -> None:
        running = {stage.pid for stage in self._stages}
        if not self._started and running <= self._ready:
            self._started = True
            notify("READY=1")
            print("READY", flush=True)  # noqa: T201 - the word a caller waits for

    async def _keep(self, stage: Stage) -> None:
        pause = _FIRST_PAUSE
        while True:
            began = time.monotonic()
            status = await self._live(stage)
            if status in _REASONS and not self._started:
                self._failure = _REASONS[status](
                    f"{stage.name} cannot start; its reason stands above"
                )
                self._stop.set()
                return
            if time.monotonic() - began >= _STEADY:
                pause = _FIRST_PAUSE
            log.event(
                STAGE, "-", logging.ERROR,
                event="restart", stage=stage.name, status=status, after=f"{pause:g}s",
            )  # fmt: skip
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _live(self, stage: Stage) -> int | str:
        """Its exit status (negative: killed by that signal), or why it could not be started."""
        try:
            stage.start()
        except OSError as error:
            return f"not started: {error}"
        pid = stage.pid
        self._announce()  # a quick one has said so before we knew its process id
        status = await stage.wait()
        self._ready.discard(pid)
        return status
