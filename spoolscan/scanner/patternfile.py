"""A pattern file, or another list of the site, on disk, read again when it was edited.

``current()`` is asked once a message: while nothing changed it costs one stat.  A change is seen
by the file's identity, size and times; a file changed within the last two seconds is read anyway,
for a second edit in the same tick of the clock would leave all of them as they were.

Guarantees, for patterns as for any list: those given are always of one whole, good reading.  A bad
edit, or a file that has gone, leaves what was there in force and is reported, once for each change;
the next good edit takes effect by itself.  A file that was emptied counts after those two seconds,
for editors empty a file before they fill it.  Only the first reading has nothing to fall back on,
and raises.  Never does: watch, wait, lock.  One user at a time.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from spoolscan.errors import ConfigError
from spoolscan.scanner.patterns import Patterns

_LARGEST: Final = 1 << 20  # bytes; a pattern file has some thousand
_SETTLED: Final = 2_000_000_000  # nanoseconds after which no clock tick hides an edit
_ABSENT: Final = (0,)  # the state of a file that is not there, and need not be

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Reading:
    """One look at the file: what stat said before it was read, and its bytes or the reason."""

    state: tuple[int, ...] | None
    content: bytes | str


class EditedFile(Generic[_T]):
    """What one file says, as it is now."""

    def __init__(
        self,
        path: str,
        parse: Callable[[bytes, str], _T],
        on_problem: Callable[[ConfigError], None],
        *,
        optional: bool = False,
    ) -> None:
        """Read the file.  Raises ConfigError: unreadable (path and reason), or not understood.

        ``parse`` makes of content and path what is given, or raises ConfigError.  ``on_problem`` is
        told of every later problem, once a change, from within `current`.  An ``optional`` file
        that is not there is an empty one.
        """
        self.path = path
        self._parse = parse
        self._on_problem = on_problem
        self._optional = optional
        self._seen = self._read()
        self._value = self._parsed(self._seen)

    def current(self) -> _T:
        """The newest good reading.  Raises nothing but what ``on_problem`` raises."""
        if self._seen.state is not None and self._seen.state == _state(self.path):
            return self._value
        seen = self._read()
        if seen.state is None and seen.content == b"":
            return self._value  # an editor at work
        changed = seen.content != self._seen.content
        self._seen = seen
        if changed:
            try:
                self._value = self._parsed(seen)
            except ConfigError as problem:
                self._on_problem(problem)
        return self._value

    def _read(self) -> _Reading:
        if self._optional and not os.path.lexists(self.path):
            return _Reading(_ABSENT, b"")
        return _read(self.path)

    def _parsed(self, seen: _Reading) -> _T:
        if isinstance(seen.content, str):
            raise ConfigError(seen.content)
        return self._parse(seen.content, self.path)


class PatternFile(EditedFile[Patterns]):
    """The patterns of one file, as they are now."""

    def __init__(self, path: str, on_problem: Callable[[ConfigError], None]) -> None:
        super().__init__(path, Patterns.parse, on_problem)


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


def _read(path: str) -> _Reading:
    try:
        # A fifo must not make us wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        return _Reading(None, _unreadable(path, error))
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return _Reading(None, f"{path}: not a regular file; write patterns into one")
        content = b""
        while len(content) <= _LARGEST and (more := os.read(descriptor, _LARGEST)):
            content += more
    except OSError as error:
        return _Reading(None, _unreadable(path, error))
    finally:
        os.close(descriptor)
    if len(content) > _LARGEST:
        return _Reading(_identity(found), f"{path}: more than {_LARGEST} bytes; use fewer patterns")
    return _Reading(_identity(found), content)


def _unreadable(path: str, error: OSError | ValueError) -> str:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return f"{path}: {reason}; it must be there and readable for the scanner's user"
