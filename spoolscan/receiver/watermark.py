"""Whether the spool's disk has room for one more message, and some for those that are here already:
the scanner and the forwarder cannot work on a full one.

One look is good for a second, whatever arrives meanwhile.  A disk that cannot be looked at raises
TemporaryFailure.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from spoolscan import log
from spoolscan.spool import Room

_GOOD_SECONDS: Final = 1.0


class Watermark:
    """``look`` measures, ``clock`` gives seconds."""

    def __init__(self, look: Callable[[], Room], clock: Callable[[], float]) -> None:
        self._look = look
        self._clock = clock
        self._least = self._room = Room(0, 0)
        self._good_until = clock()
        self._low = False  # as the log has it

    def leave(self, least: Room) -> None:
        """What is to be left free from now on."""
        self._least = least
        self._good_until = self._clock()

    def has_room(self, size: int) -> bool:
        """Whether a message of so many bytes may come.  Raises TemporaryFailure."""
        now = self._clock()
        if now >= self._good_until:
            self._room = self._look()
            self._good_until = now + _GOOD_SECONDS
            self._tell()
        return self._leaves_enough(size)

    def _leaves_enough(self, size: int) -> bool:
        room, least = self._room, self._least
        return room.free - size >= least.free and room.inodes >= least.inodes

    def _tell(self) -> None:
        low = not self._leaves_enough(0)
        if low is not self._low:
            self._low = low
            log.event(
                "receiver",
                "-",
                logging.WARNING,
                event="no-room" if low else "room-again",
                free=self._room.free,
                inodes=self._room.inodes,
            )
