"""Queue ids: a message's name from the moment it is begun.

``20261121t053000z-d6m01v``: the UTC second, then microsecond and chance in base 36.  Sorts by
arrival, has one case and no colon (Samba, Windows), and nothing of it comes from the peer.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from datetime import UTC, datetime
from typing import Final

QUEUE_ID: Final = re.compile(r"\d{8}t\d{6}z-[0-9a-z]{6}")
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


class QueueIds:
    """Makes them; each later than the one before, however the clock jumps.  Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> str:
        with self._lock:
            self._last = max(self._last + 1, time.time_ns() // 1000)
            second, micro = divmod(self._last, 1_000_000)
        digits = ""
        for _ in range(4):
            micro, digit = divmod(micro, 36)
            digits = _DIGITS[digit] + digits
        first, second_digit = divmod(secrets.randbelow(36 * 36), 36)
        chance = _DIGITS[first] + _DIGITS[second_digit]
        return datetime.fromtimestamp(second, UTC).strftime("%Y%m%dt%H%M%Sz-") + digits + chance
