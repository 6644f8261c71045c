"""The daemon's end of its worker processes: one `Worker`, one message at a time.

A worker that dies, hangs past the deadline, or answers nonsense costs its message one attempt:
`Worker.ask` raises `WorkerDied` and has already ended it; the next call starts another.  One that
cannot even start is no message's fault, and a TemporaryFailure.  The worker is given a read-only
descriptor, never a path.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from spoolscan.config import Config
from spoolscan.errors import SpoolscanError, TemporaryFailure
from spoolscan.scanner import wire
from spoolscan.spool import Message
from spoolscan.verdict import Report


class WorkerDied(SpoolscanError):
    """The worker ended, hung or spoke nonsense with this message in hand."""


class DecodedPart:
    """One decoded part in memory that the worker shares with us (a memfd).  Close it."""

    def __init__(self, path: tuple[str, ...], descriptor: int, longest: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._longest = longest

    @property
    def size(self) -> int:
        """Bytes; at most as many as one message may decode to."""
        return min(os.fstat(self._descriptor).st_size, self._longest)

    def read(self) -> bytes:
        """Its content.

        Nothing where it cannot be read: the worker may have sent any descriptor at all, and its
        message is to be set aside all the same.
        """
        try:
            return os.pread(self._descriptor, self.size, 0)
        except OSError:
            return b""

    def close(self) -> None:
        os.close(self._descriptor)


@dataclass(slots=True)
class Answer:
    """What a worker said; use as a context manager, it holds descriptors."""

    report: Report
    parts: list[DecodedPart] = field(default_factory=list)

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        for part in self.parts:
            part.close()


class Worker:
    """One worker process, started when first asked.  For one thread at a time."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._timeout = config.scanner.timeout
        self._longest = config.bounds.decoded_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._peer: socket.socket | None = None
        self._ready = False

    def start(self) -> None:
        """Start the process; it gets ready while we wait for mail."""
        if self._process is not None:
            return
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "spoolscan.scanner.worker",
                    str(theirs.fileno()),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        self._peer = ours
        # Ours and not the file's: what is edited there counts from the next reload.
        settings = self._config.model_dump(mode="json")
        with suppress(OSError):  # one that has died already is met when it is asked
            wire.send(ours, {"root": str(self._config.root), "settings": settings})

    def kill(self) -> None:
        """From another thread: whoever waits for its answer gets WorkerDied."""
        process = self._process
        if process is not None:
            process.kill()

    def stop(self) -> None:
        """End the process; what it had in hand stays in scanning/."""
        if self._peer is not None:
            self._peer.close()
            self._peer = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._ready = False

    def ask(self, message: Message, out: frozenset[str] = frozenset()) -> Answer:
        """Have a message judged, without the engines that are ``out``.

        Raises TemporaryFailure (an engine could not answer) and WorkerDied: whatever else goes
        wrong, so that no answer is ever taken for that to another question.
        """
        peer = self._started()
        deadline = time.monotonic() + self._timeout
        try:
            descriptor = os.open(f"/proc/self/fd/{message.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                question = {
                    "offset": message.body_offset,
                    "size": message.size,
                    "out": sorted(out),
                }
                wire.send(peer, question, [descriptor])
            finally:
                os.close(descriptor)
            frame = wire.receive(peer, deadline)
            if frame is None:
                raise wire.Broken("it ended")
            return self._answer(*frame)
        except TemporaryFailure:
            raise
        except Exception as error:
            self.stop()
            what = "no answer in time" if isinstance(error, TimeoutError) else str(error)
            raise WorkerDied(f"worker: {what}") from error

    def prepare(self) -> None:
        """Return when the process is ready for mail.  Raises TemporaryFailure."""
        self._started()

    def _started(self) -> socket.socket:
        """The socket to a worker that has said that it is ready.  Raises TemporaryFailure."""
        self.start()
        assert self._peer is not None  # noqa: S101 - start() has just set it; this is for mypy
        try:
            deadline = time.monotonic() + self._timeout
            if not self._ready and wire.receive(self._peer, deadline) is None:
                raise wire.Broken("it ended before it was ready; its reason stands in the log")
        except (OSError, wire.Broken) as error:
            self.stop()
            raise TemporaryFailure(f"a scanner worker cannot start: {error}") from error
        self._ready = True
        return self._peer

    def _answer(self, content: dict[str, object], descriptors: Sequence[int]) -> Answer:
        try:
            if "failure" in content:
                raise TemporaryFailure(str(content["failure"]))
            report, paths = content["report"], content["paths"]
            if not isinstance(report, dict) or not isinstance(paths, list):
                raise TypeError("an answer that is no report")
            answer = Answer(Report.from_dict(report))
            for path, descriptor in zip(paths, descriptors, strict=True):
                where = tuple(str(step) for step in path)
                answer.parts.append(DecodedPart(where, descriptor, self._longest))
        except BaseException:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        return answer
