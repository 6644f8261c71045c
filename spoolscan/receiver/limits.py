"""How much one address, and all of them together, may ask of us in a while: token buckets.

A `Rate` of 600 in a minute is a bucket of 600 tokens into which ten fall each second: that many at
once, and ten a second from then on.  What is refused costs no token, so a peer that comes again
later is taken.  An address is counted as `owner` says; nobody (None), a peer of the site's own
networks, counts towards the limits of all, and has none of its own.

Each table holds the latest `ADDRESSES` addresses and forgets the one unheard of for longest, and
with it what it took: memory is bounded whoever comes, and nobody is refused for what others did.

Pure: no clock but the one that is passed in, whose seconds must never go backwards.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

from spoolscan.receiver.policy import IPAddress
from spoolscan.receiver.rates import Rates
from spoolscan.receiver.reply import Reply
from spoolscan.units import Rate

ADDRESSES: Final = 20_000  # in each table; about 2 MB where all are taken
_ROUNDING: Final = 1e-9  # of a bucket; sums of floats are no exact counts

CONNECTIONS: Final = Reply(421, "4.7.0", "too many connections in a short time, try again later")
MESSAGES: Final = Reply(450, "4.7.1", "too many messages in a short time, try again later")
RECIPIENTS: Final = Reply(450, "4.7.1", "too many recipients in a short time, try again later")
ERRORS: Final = Reply(421, "4.7.0", "too many errors from your address, try again later")


class Buckets:
    """One bucket a key, each of the same rate; without a rate there is always enough."""

    __slots__ = ("_full", "_rate", "_size")

    def __init__(self, rate: Rate | None, size: int = ADDRESSES) -> None:
        self._rate = rate
        self._size = size
        # When each bucket will be full again; one that is not here is full.
        self._full: OrderedDict[Hashable, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full)

    def holds(self, key: Hashable, now: float, tokens: int = 1) -> bool:
        """Whether there are that many."""
        if self._rate is None:
            return True
        return self._after(self._rate, key, now, tokens) <= now + self._rate.seconds * (
            1 + _ROUNDING
        )

    def take(self, key: Hashable, now: float, tokens: int = 1) -> None:
        """Take them out, and leave it empty where there are not that many."""
        if self._rate is None:
            return
        after = self._after(self._rate, key, now, tokens)
        self._full[key] = min(after, now + self._rate.seconds)
        self._full.move_to_end(key)
        if len(self._full) > self._size:
            self._full.popitem(last=False)

    def _after(self, rate: Rate, key: Hashable, now: float, tokens: int) -> float:
        return max(self._full.get(key, now), now) + tokens * rate.seconds / rate.tokens


class _Pair:
    """What is counted: for each address, and for all."""

    __slots__ = ("_all", "_each", "_reply")

    def __init__(self, in_all: Rate | None, each: Rate | None, reply: Reply) -> None:
        self._all = Buckets(in_all, 1)
        self._each = Buckets(each)
        self._reply = reply

    def take(self, owner: IPAddress | None, now: float) -> Reply | None:
        """Count one; or why not, and then nothing is counted."""
        theirs = owner is not None
        if not self._all.holds(None, now) or (theirs and not self._each.holds(owner, now)):
            return self._reply
        self._all.take(None, now)
        if theirs:
            self._each.take(owner, now)
        return None


class Limits:
    """One for a receiver.  ``clock`` gives seconds."""

    def __init__(self, rates: Rates, clock: Callable[[], float]) -> None:
        self.rates = rates
        self._clock = clock
        self._connections = _Pair(rates.connections, rates.connections_per_address, CONNECTIONS)
        self._messages = _Pair(rates.messages, rates.messages_per_address, MESSAGES)
        self._recipients = _Pair(rates.recipients, rates.recipients_per_address, RECIPIENTS)
        self._errors = Buckets(rates.errors_per_address)

    def connection(self, owner: IPAddress | None) -> Reply | None:
        """One more connection; or why not."""
        now = self._clock()
        if owner is not None and not self._errors.holds(owner, now):
            return ERRORS
        return self._connections.take(owner, now)

    def message(self, owner: IPAddress | None) -> Reply | None:
        """One more MAIL; or why not."""
        return self._messages.take(owner, self._clock())

    def recipient(self, owner: IPAddress | None) -> Reply | None:
        """One more RCPT; or why not."""
        return self._recipients.take(owner, self._clock())

    def errors(self, owner: IPAddress | None, count: int) -> Reply | None:
        """So many commands failed (5xx); why the session has to end now, where it has."""
        if owner is None:
            return None
        now = self._clock()
        self._errors.take(owner, now, count)
        return None if self._errors.holds(owner, now) else ERRORS


def owner(peer: IPAddress | None) -> IPAddress | None:
    """Whom something is counted against: the address, in IPv6 the /64 it lies in."""
    if isinstance(peer, ipaddress.IPv6Address):
        return ipaddress.IPv6Address(int(peer) >> 64 << 64)
    return peer
