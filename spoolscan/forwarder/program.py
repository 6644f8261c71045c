"""One run of a program for an event loop: written to, listened to, and ended with all it began.

Of asyncio's own subprocesses nobody learns that they ended while a child of theirs keeps the output
open.  Linux only (pidfd).
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Self

PRINTED: Final = 400  # bytes of the output that are kept: the last
_ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
}


class Program:
    """Made by `start`; `close` it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None  # noqa: S101 - for the type checker: we asked for pipes
        assert process.stdout is not None  # noqa: S101
        self._process = process
        self._input, self._output = process.stdin, process.stdout
        self._end = os.pidfd_open(process.pid)
        for pipe in (self._input, self._output):
            os.set_blocking(pipe.fileno(), False)
        self._said = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._output.fileno(), self._listen)

    @classmethod
    def start(cls, words: Sequence[str]) -> Self:
        """Here and not in a thread, for a cancelled one would leave it behind.  Raises OSError."""
        process = subprocess.Popen(
            words,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=_ENVIRONMENT,
            start_new_session=True,
        )
        return cls(process)

    async def write(self, data: bytes) -> None:
        """To its standard input; where it reads no more this does nothing."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._input.fileno(), rest) :]
            except BlockingIOError:
                await self._ready(self._loop.add_writer, self._loop.remove_writer, self._input)
            except BrokenPipeError:
                return

    async def finish(self) -> int:
        """Its exit status, negative for a signal, after the end of its input."""
        self._input.close()
        await self._ready(self._loop.add_reader, self._loop.remove_reader, self._end)
        self._listen()
        return self._reaped()

    @property
    def said(self) -> bytes:
        """What it printed, the last of it."""
        return self._said

    def close(self) -> None:
        """It and its group are gone."""
        self._loop.remove_reader(self._output.fileno())
        self._reaped()
        os.close(self._end)
        self._input.close()
        self._output.close()

    def _reaped(self) -> int:
        """Kills who is left of the group, while its number cannot be another's yet."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait()

    def _listen(self) -> None:
        with suppress(BlockingIOError):
            while piece := os.read(self._output.fileno(), 65_536):
                self._said = (self._said + piece)[-PRINTED:]
            self._loop.remove_reader(self._output.fileno())

    async def _ready(
        self,
        add: Callable[..., None],
        remove: Callable[..., object],
        file: object,
    ) -> None:
        ready = asyncio.Event()
        add(file, ready.set)
        try:
            await ready.wait()
        finally:
            remove(file)
