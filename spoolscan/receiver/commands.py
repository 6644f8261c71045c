"""What each command does in each state of a session: the table, and a function for each row.

A function gives its reply, or the question to the driver that has to be answered first; or None,
where it has begun something that ends later.  It changes the session by the methods meant for that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from spoolscan.receiver.arguments import read_chunk, read_mail, read_rcpt
from spoolscan.receiver.attributes import XCLIENT, XFORWARD, BadAttribute, read_attributes
from spoolscan.receiver.dialogue import MECHANISMS, BadAnswer, Dialogue
from spoolscan.receiver.events import DataStarts, Identify, Mail, Question, State
from spoolscan.receiver.reply import (
    ALREADY,
    CANCELLED,
    CANNOT_VERIFY,
    HELLO_FIRST,
    HELP,
    MAIL_FIRST,
    MIXED,
    NESTED,
    NO_ADDRESS,
    NO_ARGUMENT,
    NO_MECHANISM,
    NO_NAME,
    NOT_HERE,
    OK,
    RCPT_FIRST,
    TLS_FIRST,
    TOO_BIG,
    TOO_MANY_RECIPIENTS,
    Reply,
)

if TYPE_CHECKING:
    from spoolscan.receiver.session import Session

Outcome = Reply | Question | None
Cell = Reply | Callable[["Session", str], Outcome]

HELO_CHARACTERS: Final = 255

# Each must be the last of a group of pipelined commands (RFC 2920 3.1), for what follows depends on
# the answer.
LAST_IN_GROUP: Final = frozenset({"HELO", "EHLO", "LHLO", "DATA", "STARTTLS", "AUTH", "XCLIENT"})
# These lead to no mail by themselves.
IDLE: Final = frozenset(
    {"HELO", "EHLO", "LHLO", "AUTH", "XCLIENT", "XFORWARD", "RSET", "NOOP", "VRFY", "HELP"}
)
# A browser made to post to our port must not come as far as its body.
FOREIGN_VERBS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"})
# Known to the field: 502, not 500.
_NOT_OFFERED: Final = ("BURL", "ETRN", "EXPN", "SAML", "SEND", "SOML", "TURN")


def helo(session: Session, argument: str) -> Outcome:
    if session.terms.lmtp:
        return NOT_HERE
    return _hello(session, argument, esmtp=False) or Reply(250, "", session.terms.host)


def ehlo(session: Session, argument: str) -> Outcome:
    if session.terms.lmtp:
        return NOT_HERE
    return _hello(session, argument, esmtp=True) or Reply(250, "", "\n".join(_offers(session)))


def lhlo(session: Session, argument: str) -> Outcome:
    """RFC 2033: in place of EHLO, and of HELO."""
    if not session.terms.lmtp:
        return NOT_HERE
    return _hello(session, argument, esmtp=True) or Reply(250, "", "\n".join(_offers(session)))


def _hello(session: Session, argument: str, *, esmtp: bool) -> Reply | None:
    """Any printable word will do: real hosts do not know their names."""
    if not argument or len(argument) > HELO_CHARACTERS or not argument.isprintable():
        return NO_NAME
    session.greeted_by(session.peer.helo or argument, esmtp=esmtp)
    return None


def _offers(session: Session) -> list[str]:
    terms = session.terms
    offers = [
        terms.host,
        "PIPELINING",
        f"SIZE {terms.message_bytes}",
        "8BITMIME",
        "SMTPUTF8",
        "DSN",
        "CHUNKING",
        "ENHANCEDSTATUSCODES",
    ]
    if terms.starttls and not session.tls:
        offers.append("STARTTLS")
    if terms.auth and session.tls and not session.user:
        offers.append(f"AUTH {' '.join(MECHANISMS)}")
    if terms.proxy:
        offers += [f"XCLIENT {' '.join(XCLIENT)}", f"XFORWARD {' '.join(XFORWARD)}"]
    return offers


def starttls(session: Session, argument: str) -> Outcome:
    """RFC 3207."""
    if not session.terms.starttls:
        return NOT_HERE
    if session.tls:
        return ALREADY
    if argument:
        return NO_ARGUMENT
    session.start_tls()
    return None


def auth(session: Session, argument: str) -> Outcome:
    """RFC 4954; only where nobody on the way can read the password."""
    if not session.terms.auth or not session.esmtp:
        return NOT_HERE
    if session.user:
        return ALREADY
    if not session.tls:
        return TLS_FIRST
    mechanism, _, initial = argument.partition(" ")
    if mechanism.upper() not in MECHANISMS:
        return NO_MECHANISM
    dialogue = Dialogue(mechanism.upper())
    if not initial:
        return session.challenge(dialogue)
    session.dialogue = dialogue
    return respond(session, "" if initial.strip(" ") == "=" else initial.strip(" "))


def respond(session: Session, answer: str) -> Outcome:
    """What stands in the line behind a challenge."""
    dialogue = session.dialogue
    if dialogue is None or answer == "*":
        return CANCELLED
    try:
        return dialogue.answer(answer) or session.challenge(dialogue)
    except BadAnswer as error:
        return Reply(501, "5.5.2", str(error))


def mail(session: Session, argument: str) -> Outcome:
    read = read_mail(argument, auth=session.terms.auth)
    if isinstance(read, Mail) and read.size > session.terms.message_bytes:
        return TOO_BIG
    return read


def rcpt(session: Session, argument: str) -> Outcome:
    read = read_rcpt(argument, utf8=session.mail.utf8)
    if isinstance(read, Reply):
        return read
    if len(session.recipients) >= session.terms.recipients:
        return TOO_MANY_RECIPIENTS
    return read


def data(session: Session, argument: str) -> Outcome:
    if argument:
        return NO_ARGUMENT
    return DataStarts(session.mail, tuple(session.recipients), session.origin)


def bdat(session: Session, argument: str) -> Outcome:
    """RFC 3030: the chunk is read whatever the answer is, or its bytes would be commands."""
    read = read_chunk(argument)
    if isinstance(read, Reply):  # nobody knows how much of what follows is the chunk
        session.close(read)
        return None
    size, last = read
    refusal = _TOO_EARLY.get(session.state) if session.esmtp else HELLO_FIRST
    first = session.state is State.RCPT and refusal is None
    if not size or refusal is not None:
        session.waste()
    if session.state is State.CLOSED:
        return None
    session.begin_chunk(size, refusal, last=last)
    if not first:
        return None
    return DataStarts(session.mail, tuple(session.recipients), session.origin, chunked=True)


_TOO_EARLY: Final = {State.START: HELLO_FIRST, State.READY: MAIL_FIRST, State.MAIL: RCPT_FIRST}


def rset(session: Session, argument: str) -> Outcome:
    if argument:
        return NO_ARGUMENT
    session.reset()
    return OK


def xclient(session: Session, argument: str) -> Outcome:
    """Postfix's XCLIENT_README: the rest of the session is with the peer named here."""
    if not session.terms.proxy:
        return NOT_HERE
    try:
        said = read_attributes(argument, XCLIENT)
    except BadAttribute as error:
        return Reply(501, "5.5.4", str(error))
    return Identify(said.over(session.peer))


def xforward(session: Session, argument: str) -> Outcome:
    """Postfix's XFORWARD_README: where the next message comes from.  It grants nothing."""
    if not session.terms.proxy:
        return NOT_HERE
    try:
        said = read_attributes(argument, XFORWARD)
    except BadAttribute as error:
        return Reply(501, "5.5.4", str(error))
    session.origin = said.over(session.origin)
    return OK


def vrfy(session: Session, argument: str) -> Outcome:  # noqa: ARG001 - a cell's signature
    return CANNOT_VERIFY if argument else NO_ADDRESS


def quit_(session: Session, argument: str) -> Outcome:
    if argument:
        return NO_ARGUMENT
    session.close(Reply(221, "2.0.0", f"{session.terms.host} closing"))
    return None


# fmt: off
TABLE: Final[Mapping[str, tuple[Cell, Cell, Cell, Cell, Cell]]] = MappingProxyType({
    #            START        READY       MAIL        RCPT      BDAT
    "HELO":     (helo,        helo,       helo,       helo,     helo),
    "EHLO":     (ehlo,        ehlo,       ehlo,       ehlo,     ehlo),
    "LHLO":     (lhlo,        lhlo,       lhlo,       lhlo,     lhlo),
    "STARTTLS": (starttls,    starttls,   NESTED,     NESTED,   NESTED),
    "AUTH":     (HELLO_FIRST, auth,       NESTED,     NESTED,   NESTED),
    "MAIL":     (HELLO_FIRST, mail,       NESTED,     NESTED,   NESTED),
    "RCPT":     (HELLO_FIRST, MAIL_FIRST, rcpt,       rcpt,     NESTED),
    "DATA":     (HELLO_FIRST, MAIL_FIRST, RCPT_FIRST, data,     MIXED),
    "BDAT":     (bdat,        bdat,       bdat,       bdat,     bdat),
    "RSET":     (rset,        rset,       rset,       rset,     rset),
    "NOOP":     (OK,          OK,         OK,         OK,       OK),
    "VRFY":     (vrfy,        vrfy,       vrfy,       vrfy,     vrfy),
    "HELP":     (HELP,        HELP,       HELP,       HELP,     HELP),
    "QUIT":     (quit_,       quit_,      quit_,      quit_,    quit_),
    "XCLIENT":  (xclient,     xclient,    NESTED,     NESTED,   NESTED),
    "XFORWARD": (HELLO_FIRST, xforward,   NESTED,     NESTED,   NESTED),
    **dict.fromkeys(_NOT_OFFERED, (NOT_HERE, NOT_HERE, NOT_HERE, NOT_HERE, NOT_HERE)),
})
# fmt: on
