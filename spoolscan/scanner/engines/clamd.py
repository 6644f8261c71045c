"""clamd, ClamAV's daemon, by its socket.  clamd(8), "COMMANDS".

One connection a scan, closed with it: nothing is kept that could go stale or be inherited by
another process.  In it one IDSESSION, question and answer by turns, each sample handed over as

    =========  ============================================================================
    FILDES     an open file in memory, passed through the unix socket
    INSTREAM   the bytes, in chunks of known length
    =========  ============================================================================

Exactly two answers are believed, each with the number of its question: ``OK``, and ``NAME FOUND``.
A name under Heuristics.Limits.Exceeded or Heuristics.Encrypted says that clamd did not read it all
and is UNSCANNABLE; so is what is larger than clamd takes, for that does not pass with time.
Everything else is a TemporaryFailure: an error, half an answer, one too many, one that comes before
the question is complete, a lost connection, or no whole answer within ``timeout`` seconds of the
question, however it drips in.

Where several addresses are given the next is tried when one gives no plain answer, and the one that
did is asked first from then on; each has ``timeout`` seconds, all together what is left until the
message's deadline.

clamd says OK to what lies beyond its MaxFileSize unless AlertExceedsMax is set, so ``max_bytes``
must not be above it.  Looking up the name of a tcp: host is bounded by resolv.conf, not by us.
"""

from __future__ import annotations

import math
import os
import re
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

from spoolscan.config import ClamdSettings
from spoolscan.errors import ConfigError, TemporaryFailure
from spoolscan.scanner.engines.contract import Sample, Tell, WrongAnswer
from spoolscan.verdict import Finding, Verdict

_ANSWER = re.compile(rb"(?:stream|fd\[[0-9]{1,10}\]): (?:OK|([!-~](?:[ -~]{0,254}[!-~])?) FOUND)")
_VERSION = re.compile(rb"ClamAV [ -~]{1,200}")
_TOO_LARGE = b"INSTREAM size limit exceeded. ERROR"
_UNREAD = ("Heuristics.Limits.Exceeded", "Heuristics.Encrypted")
_LONGEST_ANSWER = 1024
_LONGEST_UNIX_PATH = 107  # sun_path of unix(7), without its NUL
_CHUNK = 262_144

_T = TypeVar("_T")

Address = str | tuple[str, int]  # the path of a unix socket, or host and port


@dataclass(frozen=True, slots=True)
class _Place:
    """One address as it is written and as it is used, and how samples are handed over there."""

    text: str
    address: Address
    by_file: bool


class Clamd:
    """See the module.  Raises ConfigError for settings that can never work; connects only later."""

    def __init__(self, settings: ClamdSettings, tell: Tell) -> None:  # noqa: ARG002 - as in the table
        self.name = settings.name
        self._settings = settings
        texts = (settings.address,) if isinstance(settings.address, str) else settings.address
        self._places = [_place(settings, text) for text in texts]
        if not 0 < settings.timeout < math.inf:
            raise _wrong(settings, "timeout", settings.timeout, "give seconds above 0")
        if settings.max_bytes < 1:
            raise _wrong(settings, "max_bytes", settings.max_bytes, "give bytes above 0")

    def scan(self, samples: Sequence[Sample], deadline: float = math.inf) -> list[Finding]:
        def judge(session: _Session) -> list[Finding]:
            judged = [self._judge(session, sample) for sample in samples]
            return [finding for finding in judged if finding]

        return self._first_answer(judge, deadline)

    def _first_answer(self, ask: Callable[[_Session], _T], deadline: float) -> _T:
        """What the first address with a plain answer says.  Raises what they all say else."""
        failures: list[TemporaryFailure] = []
        for place in tuple(self._places):
            where = f"engine {self.name} at {place.text}"
            try:
                with _Session(place, self._settings.timeout, deadline, where) as session:
                    answer = ask(session)
            except TemporaryFailure as failure:
                failures.append(failure)
                continue
            if failures:
                self._places.sort(key=lambda other: other is not place)
            return answer
        if len(failures) == 1:
            raise failures[0]
        wrong = any(isinstance(failure, WrongAnswer) for failure in failures)
        kind = WrongAnswer if wrong else TemporaryFailure
        raise kind("; ".join(map(str, failures)))

    def _judge(self, session: _Session, sample: Sample) -> Finding | None:
        if len(sample.data) > self._settings.max_bytes:
            answer = _TOO_LARGE
        elif session.by_file:
            answer = session.ask(b"FILDES", lambda: session.send_file(sample.data))
        else:
            answer = session.ask(b"INSTREAM", lambda: session.send_stream(sample.data))
        if answer == _TOO_LARGE:
            return Finding(Verdict.UNSCANNABLE, sample.path, "larger than clamd takes", self.name)
        believed = _ANSWER.fullmatch(answer)
        if not believed:
            raise session.nonsense(f"{answer[:80]!r} is neither OK nor FOUND; see clamd's log")
        if believed[1] is None:
            return None
        virus = believed[1].decode("ascii")
        verdict = Verdict.UNSCANNABLE if virus.startswith(_UNREAD) else Verdict.INFECTED
        return Finding(verdict, sample.path, virus, self.name)

    def awake(self) -> str:
        return self._first_answer(_version, math.inf)

    def close(self) -> None:
        """Nothing is held between two scans."""


class _Session:
    """An IDSESSION: question and answer by turns.  Connects at the first question."""

    def __init__(self, place: _Place, timeout: float, end: float, where: str) -> None:
        self.by_file = place.by_file
        self._address = place.address
        self._timeout = timeout
        self._end = end
        self._where = where
        self._socket: socket.socket | None = None
        self._number = 0
        self._deadline = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._hang_up()

    def failure(self, reason: str) -> TemporaryFailure:
        return TemporaryFailure(f"{self._where}: {reason}")

    def nonsense(self, reason: str) -> WrongAnswer:
        return WrongAnswer(f"{self._where}: {reason}")

    def ask(self, command: bytes, send_rest: Callable[[], None] = lambda: None) -> bytes:
        """The answer, without number and NUL.  Raises TemporaryFailure where there is no whole one.

        The session starts over at the next question when clamd has ended it over a sample that was
        too large.
        """
        began = time.monotonic()
        self._deadline = min(began + self._timeout, self._end)
        try:
            whole = self._send(command, send_rest)
            number, _, words = self._receive().partition(b": ")
        except TimeoutError:
            seconds = max(self._deadline - began, 0)
            raise self.failure(f"no answer within {seconds:.3g} s; is it overloaded?") from None
        except socket.gaierror as error:
            raise self.failure(f"no such host: {error.strerror}") from None
        except OSError as error:
            raise TemporaryFailure.from_os(error, f"{self._where} (is it running?)") from None
        if number != b"%d" % self._number:
            raise self.nonsense(f"{number[:80]!r} is not the number of question {self._number}")
        if words == _TOO_LARGE and command == b"INSTREAM":
            self._hang_up()
        elif not whole:
            raise self.nonsense("it answered before it had the whole question")
        return words

    def _send(self, command: bytes, send_rest: Callable[[], None]) -> bool:
        """False where clamd spoke or hung up before the question was complete."""
        if self._socket is None:
            self._socket = connected(self._address, self._left())
            self._number = 0
            self._write(b"zIDSESSION\0")
        self._number += 1
        try:
            self._write(b"z" + command + b"\0")
            send_rest()
        except (BrokenPipeError, ConnectionResetError, _SpokeTooSoonError):
            return False  # it may have said why before it hung up
        return True

    def send_stream(self, data: bytes) -> None:
        view = memoryview(data)
        for start in range(0, len(data), _CHUNK):
            chunk = view[start : start + _CHUNK]
            self._write(struct.pack(">L", len(chunk)))
            self._write(chunk)
        self._expect_silence()
        self._write(struct.pack(">L", 0))

    def send_file(self, data: bytes) -> None:
        descriptor = os.memfd_create("sample", os.MFD_CLOEXEC)
        with open(descriptor, "wb", buffering=0) as file:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
            self._expect_silence()
            socket.send_fds(self._ready(), [b"\0"], [descriptor])

    def _expect_silence(self) -> None:
        poll = select.poll()
        poll.register(self._ready(), select.POLLIN)
        if poll.poll(0):
            raise _SpokeTooSoonError

    def _receive(self) -> bytes:
        answer = bytearray()
        while (end := answer.find(b"\0")) < 0:
            if len(answer) > _LONGEST_ANSWER:
                raise self.nonsense(f"{bytes(answer[:80])!r}... is too long for an answer")
            piece = self._ready().recv(_LONGEST_ANSWER)
            if not piece:
                raise self.failure(f"it hung up after {bytes(answer[:80])!r}; see clamd's log")
            answer += piece
        if end != len(answer) - 1:
            raise self.nonsense(f"{bytes(answer[:80])!r} is more than one answer")
        return bytes(answer[:end])

    def _write(self, data: bytes | memoryview) -> None:
        self._ready().sendall(data)

    def _ready(self) -> socket.socket:
        """The socket, with the time that is left for this question."""
        if self._socket is None:
            raise ConnectionResetError
        self._socket.settimeout(self._left())
        return self._socket

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class _SpokeTooSoonError(Exception):
    """clamd answers a question that it has not heard to the end."""


def _version(session: _Session) -> str:
    if (pong := session.ask(b"PING")) != b"PONG":
        raise session.nonsense(f"{pong[:80]!r} is no answer to PING")
    version = session.ask(b"VERSION")
    # clamd can be told to keep its version to itself; PONG is enough to be awake.
    return version.decode("ascii") if _VERSION.fullmatch(version) else "clamd"


def connected(address: Address, seconds: float) -> socket.socket:
    """A connection on which each step may take so long.  Raises OSError."""
    if isinstance(address, tuple):
        connection = socket.create_connection(address, seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(seconds)
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


def _place(settings: ClamdSettings, text: str) -> _Place:
    address = parse_address(settings, text)
    return _Place(text, address, _by_file(settings, address))


def parse_address(settings: ClamdSettings, text: str) -> Address:
    """One address as it is written.  Raises ConfigError."""
    path = text.removeprefix("unix:")
    if path.startswith("/"):
        if len(os.fsencode(path)) > _LONGEST_UNIX_PATH or "\0" in path:
            raise _wrong(settings, "address", text, f"at most {_LONGEST_UNIX_PATH} bytes, no NUL")
        return path
    try:
        url = urlsplit(text)
        if text == f"tcp://{url.netloc}" and "@" not in text and url.hostname and url.port:
            return url.hostname, url.port
    except ValueError:
        pass
    raise _wrong(settings, "address", text, "allowed are unix:/path, /path and tcp://host:port")


def _by_file(settings: ClamdSettings, address: Address) -> bool:
    if settings.method not in ("auto", "instream", "fildes"):
        raise _wrong(settings, "method", settings.method, 'allowed: "auto", "instream", "fildes"')
    unix = isinstance(address, str)
    if settings.method == "fildes" and not unix:
        raise _wrong(settings, "method", "fildes", "needs a unix socket; use instream")
    return unix and settings.method != "instream"


def _wrong(settings: ClamdSettings, key: str, value: object, remedy: str) -> ConfigError:
    return ConfigError(f"engine {settings.name}: {key} = {value!r}: {remedy}")
