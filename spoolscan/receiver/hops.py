"""How many hosts a message has passed: its Received fields, counted as it streams by.

Counts in the header only, at C speed, in constant memory.  The message is canonical (`dotted`).
"""

from __future__ import annotations

from typing import Final

_FIELD: Final = b"\r\nreceived:"
_OVERLAP: Final = len(_FIELD) - 1  # what a field's name can have of itself in the piece before


class HopCounter:
    """``count`` is of what was fed so far."""

    __slots__ = ("_in_header", "_tail", "count")

    def __init__(self) -> None:
        self.count = 0
        self._tail = b"\r\n"
        self._in_header = True

    def feed(self, chunk: bytes) -> int:
        """Take the next piece of the message; returns ``count``."""
        if not self._in_header:
            return self.count
        text = self._tail + chunk
        end = text.find(b"\r\n\r\n")
        if end >= 0:
            self._in_header = False
            text = text[:end]
        self.count += text.lower().count(_FIELD)
        self._tail = text[-_OVERLAP:]
        return self.count
