"""A pattern file on disk, read again when it was edited."""

from __future__ import annotations

from collections.abc import Callable

from spoolscan.errors import ConfigError
from spoolscan.livefile import LiveFile
from spoolscan.scanner.patterns import Patterns


class PatternFile(LiveFile[Patterns]):
    """The patterns of one file, as they are now."""

    def __init__(self, path: str, on_problem: Callable[[ConfigError], None]) -> None:
        """As `LiveFile`.  Raises ConfigError: unreadable, or not patterns."""
        super().__init__(path, Patterns.parse, on_problem)
