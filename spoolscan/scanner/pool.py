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
from typing import Any, Final

from spoolscan.config import Config
from spoolscan.errors import ConfigError, SpoolscanError, TemporaryFailure
from spoolscan.scanner import wire
from spoolscan.scanner.room import Measure
from spoolscan.spool import Message
from spoolscan.verdict import Report

_START: Final = 60.0  # seconds for a worker to get ready


class WorkerDied(SpoolscanError):
    """The worker ended, hung or spoke nonsense with this message in hand."""


@dataclass(frozen=True, slots=True)
class DecodedPart:
    """One decoded part, in memory that the worker shares with us (a memfd of `Answer`)."""

    path: tuple[str, ...]
    descriptor: int
    offset: int
    size: int  # bytes; at most as many as one message may decode to

    def read(self) -> bytes:
        """Its content.

        Nothing where it cannot be read: the worker may have sent any descriptor at all, and its
        message is to be set aside all the same.
        """
        try:
            return os.pread(self.descriptor, self.size, self.offset)
        except OSError:
            return b""


@dataclass(slots=True)
class Answer:
    """What a worker said; use as a context manager, it holds descriptors."""

    report: Report
    parts: list[DecodedPart] = field(default_factory=list)
    descriptors: Sequence[int] = ()

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)


class Worker:
    """One worker process, started when first asked.  For one thread at a time."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._timeout = config.scanner.timeout
        self._longest = config.bounds.decoded_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._peer: socket.socket | None = None
        self._ready = False
        self.measures: list[Measure] = []  # that are in force, and that are not, since it is ready

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
        """Return when the process is ready for mail.  Raises TemporaryFailure, ConfigError."""
        self._started()

    def _started(self) -> socket.socket:
        """The socket to a worker that has said that it is ready.

        Raises TemporaryFailure, and ConfigError where its room is not as it is required.
        """
        self.start()
        assert self._peer is not None  # noqa: S101 - start() has just set it; this is for mypy
        try:
            if not self._ready:
                frame = wire.receive(self._peer, time.monotonic() + _START)
                if frame is None:
                    raise wire.Broken("it ended before it was ready; its reason stands in the log")
                self.measures = [Measure.from_dict(one) for one in frame[0]["room"]]
        except (OSError, LookupError, TypeError, wire.Broken) as error:
            self.stop()
            raise TemporaryFailure(f"a scanner worker cannot start: {error}") from error
        self._check_room()
        self._ready = True
        return self._peer

    def _check_room(self) -> None:
        """Raises ConfigError where a measure that is required is not in force."""
        lacking = [measure for measure in self.measures if not measure.in_force]
        if self._config.scanner.room == "required" and lacking:
            self.stop()
            raise ConfigError(
                'scanner.room = "required": '
                + "; ".join(f"no {one.name}: {one.detail}; {one.remedy}" for one in lacking)
            )

    def _answer(self, content: dict[str, Any], descriptors: Sequence[int]) -> Answer:
        try:
            if "failure" in content:
                raise TemporaryFailure(str(content["failure"]))
            report, parts = content["report"], content["parts"]
            if not isinstance(report, dict) or not isinstance(parts, list):
                raise TypeError("an answer that is no report")
            if len(descriptors) != bool(parts):
                raise ValueError(f"{len(descriptors)} descriptors for {len(parts)} parts")
            answer = Answer(Report.from_dict(report), descriptors=descriptors)
            for part in parts:
                where = tuple(str(step) for step in part["path"])
                offset, size = map(int, part["place"])
                if offset < 0 or not 0 <= size <= self._longest:
                    raise ValueError(f"a part of {size} bytes at {offset}")
                answer.parts.append(DecodedPart(where, descriptors[0], offset, size))
        except BaseException:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        return answer
