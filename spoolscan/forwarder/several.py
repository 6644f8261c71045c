"""Several next hops as one: the next is asked where one is down.

What was said of a recipient stands, and only the others go on to the next of them.  One that is
down, or broke a conversation off, rests for a while that doubles, and is asked after the others
then.  After a conversation that broke off nobody else is asked in this attempt: the message may
have arrived, and would arrive twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from spoolscan.forwarder.delivery import ConnectionLost, Mail, NextHopDown, Outcome, Route, Settle
from spoolscan.forwarder.schedule import Throttle


@dataclass(slots=True)
class Member:
    """One of them, and how it is doing."""

    route: Route
    throttle: Throttle

    @property
    def rests(self) -> bool:
        return time.monotonic() < self.throttle.resumes


async def deliver(members: Iterable[Member], mail: Mail, settle: Settle) -> None:
    """Attempt it at the first that is not down.  Raises as `Route.deliver`."""
    settled: set[int] = set()

    async def tell(known: Mapping[int, Outcome]) -> None:
        settled.update(known)
        await settle(known)

    troubles: list[str] = []
    for member in sorted(members, key=lambda member: member.rests):
        rest = tuple(item for item in mail.recipients if item[0] not in settled)
        try:
            await member.route.deliver(replace(mail, recipients=rest), tell)
        except NextHopDown as error:
            member.throttle.down(time.monotonic())
            troubles.append(str(error))
        except ConnectionLost:
            member.throttle.down(time.monotonic())
            raise
        else:
            member.throttle.worked()
            return
    raise NextHopDown("; ".join(troubles))


class Several:
    """A route over others, in order; in turns where ``balance`` says so."""

    def __init__(self, name: str, members: Sequence[Member], *, balance: bool = False) -> None:
        self.name = name
        self._members = tuple(members)
        self._balance = balance
        self._turn = 0

    async def deliver(self, mail: Mail, settle: Settle) -> None:
        """See `Route.deliver`."""
        first = self._turn
        if self._balance:
            self._turn = (first + 1) % len(self._members)
        await deliver((*self._members[first:], *self._members[:first]), mail, settle)

    async def close(self) -> None:
        """Let go of all of them."""
        for member in self._members:
            await member.route.close()
