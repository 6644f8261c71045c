"""The words between a session and its driver: the terms it works under, and what can happen in it.

Mail, Rcpt, DataStarts, DataEnds, Login and Identify are questions: the session waits for their
answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from spoolscan.receiver.address import Path
from spoolscan.receiver.attributes import NOTHING, Attributes
from spoolscan.receiver.dotted import BareLF
from spoolscan.receiver.reply import Reply


@dataclass(frozen=True, slots=True)
class Terms:
    """What a peer is granted; `settings` explains each.  Bytes, and counts within one session.

    ``lmtp``: RFC 2033 is spoken, not SMTP; ``starttls``: there is a certificate; ``auth``: users
    may log in, once TLS is there; ``proxy``: XCLIENT and XFORWARD are believed.
    """

    host: str
    banner: str
    message_bytes: int
    recipients: int
    errors: int
    idle_commands: int
    hops: int
    bare_lf: BareLF
    own_hops: int = 3
    lmtp: bool = False
    starttls: bool = False
    auth: bool = False
    proxy: bool = False


class State(IntEnum):
    """Where the session stands; the first five are the columns of `TABLE`."""

    START = 0  # the peer has not said who it is
    READY = 1  # no message under way
    MAIL = 2  # a reverse-path is given
    RCPT = 3  # and at least one forward-path accepted
    BDAT = 4  # between two chunks of a message
    DATA = 5  # the message, or a chunk of it, is coming
    AUTH = 6  # an answer to our challenge is coming
    TLS = 7  # the handshake is coming
    CLOSED = 8


@dataclass(frozen=True, slots=True)
class NeedData:
    """Nothing to do before the next segment; replies are waiting in `Session.take_output`."""


@dataclass(frozen=True, slots=True)
class Mail:
    """To be answered.  ``size`` is what the peer declared, in bytes; 0 where it did not.

    ``body`` is 7BIT, 8BITMIME or ""; ``utf8`` that SMTPUTF8 was asked for (RFC 6531); ``ret`` is
    FULL, HDRS or "", ``envid`` the envelope's id, decoded (RFC 3461).
    """

    sender: Path
    size: int = 0
    body: str = ""
    utf8: bool = False
    ret: str = ""
    envid: str = ""


@dataclass(frozen=True, slots=True)
class Rcpt:
    """To be answered.  RFC 3461: ``notify`` is NEVER, a list with commas, or ""; ``orcpt`` is
    ``TYPE;ADDRESS``, decoded, or ""."""

    recipient: Path
    notify: str = ""
    orcpt: str = ""


@dataclass(frozen=True, slots=True)
class DataStarts:
    """The envelope is complete.  To be answered: `GO_AHEAD` or a refusal.

    ``origin`` is what XFORWARD told of where the message comes from.
    """

    mail: Mail
    recipients: tuple[Rcpt, ...]
    origin: Attributes = NOTHING
    chunked: bool = False


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next piece of the message, canonical."""

    data: bytes


@dataclass(frozen=True, slots=True)
class DataEnds:
    """The message is complete.  To be answered, once it is safe or refused."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The message under way will not be accepted; ``reply`` goes out at its end, by itself."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The peer itself gave up the message under way, between two chunks."""


@dataclass(frozen=True, slots=True)
class Login:
    """To be answered: 235, or a refusal.  The password appears in nothing that is printed."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identify:
    """XCLIENT.  To be answered, once `Session.terms` are those of the peer it names."""

    peer: Attributes


@dataclass(frozen=True, slots=True)
class StartTLS:
    """Send the output, make the handshake, and say so by `Session.secured`."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The session is over: the last replies are to be sent and the connection closed."""


Question = Mail | Rcpt | DataStarts | DataEnds | Login | Identify
Event = Question | NeedData | Chunk | Refused | Abandoned | StartTLS | Closed
