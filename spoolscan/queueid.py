"""Queue ids: a message's name from the moment it is begun.

``20261121t053000z-d6m01v``: the UTC second, then microsecond and chance in base 36.  Sorts by
arrival, has one case and no colon (Samba, Windows), and nothing of it comes from the peer.
"""

from __future__ import annotations

import itertools
import re
import secrets
import threading
import time
from datetime import UTC, datetime
from typing import Final

QUEUE_ID: Final = re.compile(r"\d{8}t\d{6}z-[0-9a-z]{6}")
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_PAIRS: Final = tuple(map("".join, itertools.product(_DIGITS, repeat=2)))


class QueueIds:
    """Makes them; each later than the one before, however the clock jumps.  Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._second = (-1, "")  # the last one, and how it is written

    def next(self) -> str:
        with self._lock:
            self._last = max(self._last + 1, time.time_ns() // 1000)
            second, micro = divmod(self._last, 1_000_000)
            if second != self._second[0]:
                written = datetime.fromtimestamp(second, UTC).strftime("%Y%m%dt%H%M%Sz-")
                self._second = second, written
            written = self._second[1]
        first, second_pair = divmod(micro, len(_PAIRS))
        return (
            written + _PAIRS[first] + _PAIRS[second_pair] + _PAIRS[secrets.randbelow(len(_PAIRS))]
        )
