"""Whether a login is right: asked in a thread, a few at a time, and not often for one address.

A wrong password is answered late; beyond a rate nothing is looked at any more, and the peer is told
to come again.  Names are logged, passwords never.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from spoolscan import log
from spoolscan.receiver.events import Login
from spoolscan.receiver.limits import Buckets, owner
from spoolscan.receiver.policy import IPAddress
from spoolscan.receiver.reply import LOGGED_IN, NOT_LOGGED_IN, Reply
from spoolscan.units import Rate
from spoolscan.users import Users

_AT_ONCE: Final = 2  # each takes a processor and 16 MB
LATER: Final = Reply(454, "4.7.0", "cannot tell now, try again later")
TOO_OFTEN: Final = Reply(454, "4.7.0", "too many wrong passwords, try again later")


class Gatekeeper:
    """One for a receiver.  ``delay`` in seconds; ``failures`` are those of one address; ``clock``
    gives seconds.
    """

    def __init__(
        self, users: Users, delay: float, failures: Rate | None, clock: Callable[[], float]
    ) -> None:
        self._users = users
        self._delay = delay
        self._failures = Buckets(failures)
        self._clock = clock
        self._free = asyncio.Semaphore(_AT_ONCE)

    async def check(self, login: Login, peer: IPAddress | None) -> tuple[Reply, float]:
        """The answer, and how many seconds it has to wait.  Never raises."""
        who = owner(peer)
        try:
            async with self._free:
                if not self._failures.holds(who, self._clock()):
                    log.event("receiver", event="login-refused", peer=peer, user=login.user)
                    return TOO_OFTEN, self._delay
                right = await asyncio.to_thread(self._users.verify, login.user, login.password)
                if not right:
                    self._failures.take(who, self._clock())
        except Exception as error:  # an edit gone wrong, no memory: nobody's password is wrong
            log.event("receiver", "-", logging.ERROR, event="failed", reason=error)
            return LATER, 0.0
        what = "login" if right else "login-failed"
        log.event("receiver", event=what, peer=peer, user=login.user)
        return (LOGGED_IN, 0.0) if right else (NOT_LOGGED_IN, self._delay)
