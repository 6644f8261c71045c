"""The words the forwarder's rooms share: a Mail goes to a Route, each recipient gets an Outcome.

No I/O here.  A route says what became of a recipient by awaiting `Settle` the moment it is known,
and never afterwards changes its mind; recipients it said nothing of, because the connection was
lost or the next hop is down, are still to be delivered.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from spoolscan.errors import Corrupt, TemporaryFailure

_LONGEST_ADDRESS = 1024  # RFC 5321 section 4.5.3.1.3 asks for 256; some sites have more


class Fate(Enum):
    """What became of one recipient in one attempt."""

    DELIVERED = "delivered"  # the next hop has taken responsibility
    DEFERRED = "deferred"  # not now
    REFUSED = "refused"  # not ever


class Success(Enum):
    """Where a delivered recipient's mail is, for a sender who asked to be told (RFC 3461, 5.2)."""

    RELAYED = "relayed"  # at a next hop that tells nobody: we say so
    DELIVERED = "delivered"  # in the mailbox: we say so
    PASSED = "passed"  # at a next hop that was asked to tell (it offers DSN)


@dataclass(frozen=True, slots=True)
class Outcome:
    """``status`` is an RFC 3463 code, ``text`` printable ASCII, ``remote`` who said so ("": we)."""

    fate: Fate
    status: str
    text: str
    remote: str = ""
    success: Success = Success.RELAYED  # says something where the fate is DELIVERED


@dataclass(frozen=True, slots=True)
class Wish:
    """What the sender wants to be told of one recipient; "" where he did not say (RFC 3461)."""

    notify: str = ""  # "NEVER", or a list of SUCCESS, FAILURE, DELAY with commas
    orcpt: str = ""  # type;xtext, as it was given


@dataclass(frozen=True, slots=True)
class Mail:
    """One message for one next hop.

    ``recipients`` are (index in the envelope, forward-path) of those still to do.  ``size`` is the
    count of bytes that ``content()`` yields, in chunks, from the start at each call; it raises
    TemporaryFailure, or Corrupt.  ``eight_bit``: some byte of it is not ASCII.  The rest is what
    came with MAIL and RCPT, for a next hop that offers the extension; ``wishes`` by index.
    """

    queue_id: str
    sender: str
    recipients: tuple[tuple[int, str], ...]
    size: int
    eight_bit: bool
    content: Callable[[], AsyncIterator[bytes]]
    utf8: bool = False  # SMTPUTF8 (RFC 6531)
    eight_bit_header: bool = False  # some byte of the message's own header is not ASCII
    ret: str = ""  # "FULL" or "HDRS" (RFC 3461)
    envid: str = ""  # as it was given, in xtext
    wishes: Mapping[int, Wish] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)  # XFORWARD's names of who gave it to us
    whole: bytes | None = None  # all that ``content()`` yields, where it is small


Settle = Callable[[Mapping[int, Outcome]], Awaitable[None]]
"""Takes outcomes by the recipients' indices in the envelope, all that one answer decided at once:
they are marked in one go.  What it raises ends the attempt."""


class Route(Protocol):
    """Delivers to one next hop.  Used by many tasks at once, in one event loop."""

    name: str  # the URL it was made from

    async def deliver(self, mail: Mail, settle: Settle) -> None:
        """Attempt it once for every recipient.

        Raises NextHopDown where no message would get through now, TemporaryFailure where this
        attempt came to an end half-way, Corrupt where the content cannot be sent as it is.
        """
        ...

    async def close(self) -> None:
        """Let go of what is kept open between messages.  May be called twice."""
        ...


class NextHopDown(TemporaryFailure):
    """Nobody is at home: says nothing of this message, and trying others now is useless."""


class TlsFailed(NextHopDown):
    """It offers TLS and cannot do it, or not in a way that is believed."""


class ConnectionLost(TemporaryFailure):
    """The conversation broke off, or went where no honest one goes, while a message was in it."""


def checked_path(address: str) -> str:
    """An address as it may stand between the angle brackets of a command or on a header line.

    The receiver only lets well-formed ones into the spool; this holds for a file dropped by hand.
    Raises Corrupt.
    """
    if len(address) > _LONGEST_ADDRESS or not address.isprintable():
        raise Corrupt("the envelope has an address with control characters, or one too long")
    if '"' not in address and any(char in address for char in "<> "):
        raise Corrupt("the envelope has an address with brackets or blanks outside of quotes")
    return address
