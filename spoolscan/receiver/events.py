"""The words between a session and its driver: the terms it works under, and what can happen in it.

Mail, Rcpt, DataStarts and DataEnds are questions: the session waits for their answer.  What MAIL
and RCPT may say one day (DSN, SMTPUTF8, AUTH=) becomes fields of `Mail` and `Rcpt`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from spoolscan.receiver.address import Path
from spoolscan.receiver.dotted import BareLF
from spoolscan.receiver.reply import Reply


@dataclass(frozen=True, slots=True)
class Terms:
    """What a peer is granted; `settings` explains each.  Bytes, and counts within one session."""

    host: str
    banner: str
    message_bytes: int
    recipients: int
    errors: int
    idle_commands: int
    hops: int
    bare_lf: BareLF
    own_hops: int = 3


class State(IntEnum):
    """Where the session stands; the first four are the columns of `TABLE`."""

    START = 0  # the peer has not said who it is
    READY = 1  # no message under way
    MAIL = 2  # a reverse-path is given
    RCPT = 3  # and at least one forward-path accepted
    DATA = 4  # the message is coming
    CLOSED = 5


@dataclass(frozen=True, slots=True)
class NeedData:
    """Nothing to do before the next segment; replies are waiting in `Session.take_output`."""


@dataclass(frozen=True, slots=True)
class Mail:
    """To be answered.  ``size`` is what the peer declared, in bytes; 0 where it did not."""

    sender: Path
    size: int = 0
    body: str = ""


@dataclass(frozen=True, slots=True)
class Rcpt:
    """To be answered."""

    recipient: Path


@dataclass(frozen=True, slots=True)
class DataStarts:
    """The envelope is complete.  To be answered: `GO_AHEAD` or a refusal."""

    mail: Mail
    recipients: tuple[Path, ...]


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
class Closed:
    """The session is over: the last replies are to be sent and the connection closed."""


Event = NeedData | Mail | Rcpt | DataStarts | Chunk | DataEnds | Refused | Closed
Question = Mail | Rcpt | DataStarts | DataEnds
