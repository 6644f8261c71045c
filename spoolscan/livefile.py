"""A file that an administrator edits while we run, read again when it changed.

``current()`` is asked once a message: while nothing changed it costs one stat.  A change is seen
by the file's identity, size and times; a file changed within the last two seconds is read anyway,
for a second edit in the same tick of the clock would leave all of them as they were.

Guarantees: what is given is always that of one whole, good reading.  A bad edit, or a file that
has gone, leaves in force what was there and is reported, once for each change; the next good edit
takes effect by itself.  A file that was emptied counts after those two seconds, for editors empty
a file before they fill it.  Only the first reading has nothing to fall back on, and raises.  Never
does: watch, wait, lock.  One user at a time.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from spoolscan.errors import ConfigError

T = TypeVar("T")

_LARGEST: Final = 1 << 20  # bytes, unless more is asked for; such a file has some thousand
_SETTLED: Final = 2_000_000_000  # nanoseconds after which no clock tick hides an edit


@dataclass(frozen=True, slots=True)
class _Reading:
    """One look at the file: what stat said before it was read, and its bytes or the reason."""

    state: tuple[int, ...] | None
    content: bytes | str


class LiveFile(Generic[T]):
    """What one file says, as it is now."""

    def __init__(
        self,
        path: str,
        parse: Callable[[bytes, str], T],
        on_problem: Callable[[ConfigError], None],
        largest: int = _LARGEST,
        *,
        absent: bytes | None = None,
    ) -> None:
        """Read the file.  Raises ConfigError: unreadable (path and reason), or what ``parse`` says.

        ``parse`` is given the bytes and the path; ``on_problem`` is told of every later problem,
        once a change, from within `current`.  ``largest`` bounds the file, in bytes.  ``absent`` is
        what counts as long as there was no file; None: there has to be one.
        """
        self.path = path
        self._parse = parse
        self._on_problem = on_problem
        self._largest = largest
        self._absent = absent
        self._seen = self._read()
        self._value = self._parsed(self._seen)

    def current(self) -> T:
        """The newest good content.  Raises nothing but what ``on_problem`` raises."""
        if self._seen.state is not None and self._seen.state == _state(self.path):
            return self._value
        seen = self._read()
        if seen.state is None and seen.content == b"" and seen.content != self._absent:
            return self._value  # an editor at work
        changed = seen.content != self._seen.content
        self._seen = seen
        if changed:
            try:
                self._value = self._parsed(seen)
            except ConfigError as problem:
                self._on_problem(problem)
        return self._value

    def _parsed(self, seen: _Reading) -> T:
        if isinstance(seen.content, str):
            raise ConfigError(seen.content)
        return self._parse(seen.content, self.path)

    def _read(self) -> _Reading:
        try:
            # A fifo must not make us wait for its writer.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            if isinstance(error, FileNotFoundError) and self._absent is not None:
                return _Reading(None, self._absent)
            return _Reading(None, _unreadable(self.path, error))
        self._absent = None
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                return _Reading(None, f"{self.path}: not a regular file; write it as one")
            content = b""
            while len(content) <= self._largest and (more := os.read(descriptor, self._largest)):
                content += more
        except OSError as error:
            return _Reading(None, _unreadable(self.path, error))
        finally:
            os.close(descriptor)
        if len(content) > self._largest:
            reason = f"{self.path}: more than {self._largest} bytes; use fewer lines"
            return _Reading(_identity(found), reason)
        return _Reading(_identity(found), content)


def _state(path: str) -> tuple[int, ...] | None:
    try:
        return _identity(os.stat(path))
    except (OSError, ValueError):
        return None


def _identity(found: os.stat_result) -> tuple[int, ...] | None:
    """What changes when the file does; None while it is too fresh to tell."""
    if time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) < _SETTLED:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _unreadable(path: str, error: OSError | ValueError) -> str:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return f"{path}: {reason}; it must be there and readable for the spool's user"
