"""The site's list of passwords: one a line, those that come most often first.

A line is a password as it stands, blanks within it and all; empty lines and those that begin with
"# " are none.  The file need not be there.  It is read again when it was edited; one that cannot be
read leaves in force what was.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_LARGEST: Final = 65_536  # bytes


class PasswordFile:
    """The words of one file, as they are now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = None
        self._words: tuple[str, ...] = ()

    def current(self) -> tuple[str, ...]:
        """The newest words.  Raises nothing."""
        try:
            found = os.stat(self._path)
            seen = (found.st_ino, found.st_size, found.st_mtime_ns)
            if seen != self._seen:
                with self._path.open("rb") as file:
                    self._words = words(file.read(_LARGEST))
                self._seen = seen
        except FileNotFoundError:
            self._words, self._seen = (), None
        except OSError:
            pass
        return self._words


def words(content: bytes) -> tuple[str, ...]:
    """The passwords in a file's content, each once."""
    lines = content.decode("utf-8", "replace").splitlines()
    return tuple(dict.fromkeys(line for line in lines if line and not line.startswith("# ")))
