"""How many hosts a message has passed: its Received fields, counted as it streams by.

Those of ours (`trace`) are counted apart: anybody can forge one, and gains a refusal by it.

Counts in the header only, at C speed, in constant memory.  The message is canonical (`dotted`).
"""

from __future__ import annotations

from typing import Final

_FIELD: Final = b"\r\nreceived:"


class HopCounter:
    """``count`` and ``own`` are of what was fed so far; ``host`` is our name."""

    __slots__ = ("_in_header", "_kept", "_ours", "_tail", "count", "own")

    def __init__(self, host: str) -> None:
        self.count = 0
        self.own = 0
        self._ours = f"by {host.lower()} (spoolscan ".encode()
        self._kept = max(len(_FIELD), len(self._ours))
        self._tail = b"\r\n"
        self._in_header = True

    def feed(self, chunk: bytes) -> int:
        """Take the next piece of the message; returns ``count``."""
        if not self._in_header:
            return self.count
        before = len(self._tail)
        text = self._tail + chunk
        end = text.find(b"\r\n\r\n")
        if end >= 0:
            self._in_header = False
            text = text[:end]
        lower = text.lower()
        self.count += lower.count(_FIELD, max(0, before - len(_FIELD) + 1))
        self.own += lower.count(self._ours, max(0, before - len(self._ours) + 1))
        self._tail = text[-self._kept :]
        return self.count
