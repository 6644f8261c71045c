"""The server's side of one SMTP session, without sockets, clock or spool (RFC 5321).

The driver feeds it bytes and asks for events; it asks back for what only the driver can know::

    session = Session(terms)
    session.greet()
    while True:
        match event := session.next_event():
            case NeedData():  send(session.take_output()); session.receive_data(receive())
            case Mail() | Rcpt() | DataStarts() | DataEnds():  session.answer(reply)
            case Chunk():     write(event.data)
            case Refused():   throw the message away; the session says so at its end
            case Closed():    send(session.take_output()); hang up

What it guarantees:

- the commands obeyed are those of `TABLE`, in the state the table names, and no others;
- a message ends at CR LF . CR LF only and is handed out in canonical form (`dotted`);
- nothing may wait behind a command that needs an answer first: such a peer is cut off (RFC 2920;
  threat 4R);
- memory is bounded by one segment and one command line, whatever is sent; time is linear in it;
- no byte sequence raises.  RuntimeError means that the driver broke the rules above.

Where more belongs: STARTTLS, AUTH, BDAT, LHLO and XCLIENT are each a row of `TABLE` and a method;
their keyword goes into `_ehlo`, parameters of MAIL and RCPT into `_mail_from` and `_rcpt_to`.
Under LMTP, `answer` to DataEnds takes one reply for each recipient.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from spoolscan.receiver.address import (
    NULL,
    BadParameter,
    BadPath,
    Path,
    parse_parameters,
    parse_path,
    split_argument,
)
from spoolscan.receiver.dotted import BareLF
from spoolscan.receiver.events import (
    Chunk,
    Closed,
    DataEnds,
    DataStarts,
    Event,
    Mail,
    NeedData,
    Question,
    Rcpt,
    Refused,
    State,
    Terms,
)
from spoolscan.receiver.inbound import Inbound
from spoolscan.receiver.reply import (
    BAD_VALUE,
    BARE_LF,
    CANNOT_VERIFY,
    CONTROL,
    EARLY,
    FOREIGN,
    HELLO_FIRST,
    HELP,
    MAIL_FIRST,
    NESTED,
    NO_ADDRESS,
    NO_ARGUMENT,
    NO_NAME,
    NO_RECIPIENT,
    NOT_HERE,
    NOT_SUPPORTED,
    OK,
    RCPT_FIRST,
    TOO_BIG,
    TOO_IDLE,
    TOO_LONG,
    TOO_MANY_ERRORS,
    TOO_MANY_RECIPIENTS,
    UNKNOWN,
    Reply,
)

LINE_BYTES: Final = 2048  # RFC 5321 4.5.3.1.4: 512, and more where extensions add parameters
HELO_CHARACTERS: Final = 255

# Each must be the last of a group of pipelined commands (RFC 2920 3.1), for what follows depends on
# the answer.
_LAST_IN_GROUP: Final = frozenset({"HELO", "EHLO", "DATA"})
_CONTROLS: Final = bytes([*range(0x20), 0x7F])
_IDLE: Final = frozenset({"HELO", "EHLO", "RSET", "NOOP", "VRFY", "HELP"})
# A browser made to post to our port must not come as far as its body.
_FOREIGN: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"})
# Known to the field: 502, not 500.
_NOT_OFFERED: Final = (
    *("AUTH", "BDAT", "BURL", "ETRN", "EXPN", "LHLO", "SAML", "SEND", "SOML"),
    *("STARTTLS", "TURN", "XCLIENT", "XFORWARD"),
)


class Session:
    """One connection's protocol.  See the module for how it is driven."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.state = State.START
        self.helo = ""
        self.esmtp = False
        self._greeted = False
        self._buffer = bytearray()
        self._output = bytearray()
        self._events: deque[Event] = deque()
        self._question: Question | None = None
        self._errors = 0
        self._idle = 0
        self._mail = Mail(NULL)
        self._recipients: list[Path] = []
        self._inbound = Inbound(terms)

    # -- what the driver calls ---------------------------------------------------------------------

    def greet(self) -> None:
        """Say the banner; or, to a peer that would not wait for it, good-bye."""
        if self._buffer:
            self.close(EARLY)
        else:
            self._say(Reply(220, "", self.terms.banner))
        self._greeted = True

    def close(self, reply: Reply) -> None:
        """Say this and end the session, whatever is under way: 421 for a stop or a timeout."""
        self._output += reply.wire()
        self._greeted = True
        self.state = State.CLOSED
        self._question = None
        self._events.clear()
        self._buffer.clear()

    def receive_data(self, data: bytes) -> None:
        """Take a segment from the peer.  Ignored once the session is closed."""
        if self.state is not State.CLOSED:
            self._buffer += data

    def take_output(self) -> bytes:
        """The replies to be sent; they are the driver's from now on."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def next_event(self) -> Event:
        """What happened next.  A question must be answered before this is called again."""
        if self._question is not None or not self._greeted:
            raise RuntimeError("next_event before greet(), or before the answer to a question")
        while not self._events:
            if self.state is State.CLOSED:
                return Closed()
            if not self._step():
                return NeedData()
        event = self._events.popleft()
        if isinstance(event, Question):
            self._question = event
        return event

    def answer(self, reply: Reply) -> None:
        """Answer the last event.  A positive reply moves the session on."""
        question, self._question = self._question, None
        if question is None:
            raise RuntimeError("answer without a question")
        if isinstance(question, DataStarts) and reply.positive and self._buffer:
            self.close(EARLY)
            return
        self._say(reply)
        if self.state is State.CLOSED:
            return
        match question:
            case Mail() if reply.positive:
                self._mail = question
                self._recipients = []
                self.state = State.MAIL
            case Rcpt(recipient) if reply.positive:
                self._recipients.append(recipient)
                self.state = State.RCPT
            case DataStarts() if reply.positive:
                self.state = State.DATA
            case DataStarts() | DataEnds():
                self._reset()

    @property
    def errors(self) -> int:
        """How many commands were refused for good."""
        return self._errors

    def refuse_message(self, reply: Reply) -> None:
        """Give up the message under way; the rest of it is read and dropped, then this is said.

        For trouble found between two chunks.  No `DataEnds` comes after it.
        """
        self._inbound.refusal = self._inbound.refusal or reply
        if DataEnds() in self._events:
            self._events.clear()
            self._end(self._inbound.refusal)

    # -- lines -------------------------------------------------------------------------------------

    def _step(self) -> bool:
        """Read one line, or what there is of the message; False where more must come first."""
        if self.state is State.DATA:
            return self._read_body()
        end = self._buffer.find(b"\n", 0, LINE_BYTES) + 1
        if end:
            line = bytes(self._buffer[:end])
            del self._buffer[:end]
            self._obey(line)
        elif len(self._buffer) >= LINE_BYTES:
            self.close(TOO_LONG)
        else:
            return False
        return True

    def _obey(self, line: bytes) -> None:
        """One command line, by the table."""
        text = line.removesuffix(b"\n").removesuffix(b"\r")
        # What is not UTF-8 stays something that is not ASCII: no keyword, and no address.
        word, _, argument = text.decode("utf-8", "replace").partition(" ")
        verb = word.upper() if word.isascii() else ""
        if self._buffer and (not self.esmtp or verb in _LAST_IN_GROUP):
            self.close(EARLY)
        elif not line.endswith(b"\r\n") and self.terms.bare_lf is BareLF.REFUSE:
            self._say(BARE_LF)
        elif text != text.translate(None, _CONTROLS):
            self._say(CONTROL)
        elif verb in _FOREIGN:
            self.close(FOREIGN)
        else:
            self._perform(verb, argument.strip(" "))

    def _perform(self, verb: str, argument: str) -> None:
        if verb in _IDLE:
            self._idle += 1
            if self._idle > self.terms.idle_commands:
                self.close(TOO_IDLE)
                return
        cell = TABLE[verb][self.state] if verb in TABLE else UNKNOWN
        reply = cell if isinstance(cell, Reply) else cell(self, argument)
        if reply is not None:
            self._say(reply)

    def _say(self, reply: Reply) -> None:
        if reply.code == 421:  # "closing transmission channel", always
            self.close(reply)
            return
        self._output += reply.wire()
        if reply.code >= 500:
            self._errors += 1
            if self._errors > self.terms.errors:
                self.close(TOO_MANY_ERRORS)

    # -- the message -------------------------------------------------------------------------------

    def _read_body(self) -> bool:
        """Take all that is in the buffer, up to the message's end."""
        if not self._buffer:
            return False
        inbound, known = self._inbound, self._inbound.refusal
        data = bytes(self._buffer)
        self._buffer.clear()
        if chunk := inbound.feed(data):
            self._events.append(Chunk(chunk))
        if inbound.refusal is not None and known is None:
            self._events.append(Refused(inbound.refusal))
        if inbound.ended:
            self._buffer += inbound.rest
            self._end(inbound.refusal)
        elif inbound.refusal is not None and inbound.endless:
            self.close(inbound.refusal)
        return True

    def _end(self, refusal: Reply | None) -> None:
        if refusal is None:
            self._events.append(DataEnds())
        else:
            self._say(refusal)
            self._reset()

    def _reset(self) -> None:
        """Forget the message: envelope and body (RFC 5321 4.1.1.5)."""
        self._mail = Mail(NULL)
        self._recipients = []
        self._inbound = Inbound(self.terms)
        if self.state is not State.CLOSED:
            self.state = State.READY if self.helo else State.START

    # -- commands: each gives its reply, or asks the driver and gives None -------------------------

    def _helo(self, argument: str) -> Reply | None:
        return self._hello(argument, esmtp=False) or Reply(250, "", self.terms.host)

    def _ehlo(self, argument: str) -> Reply | None:
        keywords = (
            self.terms.host,
            "PIPELINING",
            f"SIZE {self.terms.message_bytes}",
            "8BITMIME",
            "ENHANCEDSTATUSCODES",
        )
        return self._hello(argument, esmtp=True) or Reply(250, "", "\n".join(keywords))

    def _hello(self, argument: str, *, esmtp: bool) -> Reply | None:
        """Any printable word will do: real hosts do not know their names."""
        if not argument or len(argument) > HELO_CHARACTERS or not argument.isprintable():
            return NO_NAME
        self.helo = argument
        self.esmtp = esmtp
        self._reset()
        return None

    def _mail_from(self, argument: str) -> Reply | None:
        read = _read_path(argument, "FROM", "5.1.7")
        if isinstance(read, Reply):
            return read
        path, parameters = read
        size = parameters.pop("SIZE", "0")
        body = parameters.pop("BODY", "7BIT").upper()
        if parameters:
            return NOT_SUPPORTED
        # RFC 1870: at most 20 digits.
        if not size.isdecimal() or len(size) > 20 or body not in ("7BIT", "8BITMIME"):
            return BAD_VALUE
        if int(size) > self.terms.message_bytes:
            return TOO_BIG
        self._events.append(Mail(path, int(size), body))
        return None

    def _rcpt_to(self, argument: str) -> Reply | None:
        read = _read_path(argument, "TO", "5.1.3")
        if isinstance(read, Reply):
            return read
        path, parameters = read
        if parameters:
            return NOT_SUPPORTED
        if path == NULL:
            return NO_RECIPIENT
        if len(self._recipients) >= self.terms.recipients:
            return TOO_MANY_RECIPIENTS
        self._events.append(Rcpt(path))
        return None

    def _data(self, argument: str) -> Reply | None:
        if argument:
            return NO_ARGUMENT
        self._idle = 0
        self._events.append(DataStarts(self._mail, tuple(self._recipients)))
        return None

    def _rset(self, argument: str) -> Reply | None:
        if argument:
            return NO_ARGUMENT
        self._reset()
        return OK

    def _vrfy(self, argument: str) -> Reply | None:
        return CANNOT_VERIFY if argument else NO_ADDRESS

    def _quit(self, argument: str) -> Reply | None:
        if argument:
            return NO_ARGUMENT
        self.close(Reply(221, "2.0.0", f"{self.terms.host} closing"))
        return None


def _read_path(argument: str, keyword: str, status: str) -> tuple[Path, dict[str, str]] | Reply:
    """The path and the parameters of MAIL or RCPT, or what is wrong with them."""
    try:
        text, rest = split_argument(argument, keyword)
        return parse_path(text), parse_parameters(rest)
    except BadPath as error:
        return Reply(501, status, str(error))
    except BadParameter as error:
        return Reply(501, "5.5.4", str(error))


Cell = Reply | Callable[[Session, str], Reply | None]
_do: Final = Session

# What each command does in each state: a reply, or a method that gives one or asks the driver.
# fmt: off
TABLE: Final[Mapping[str, tuple[Cell, Cell, Cell, Cell]]] = MappingProxyType({
    #            START           READY           MAIL            RCPT
    "HELO":     (_do._helo,      _do._helo,      _do._helo,      _do._helo),
    "EHLO":     (_do._ehlo,      _do._ehlo,      _do._ehlo,      _do._ehlo),
    "MAIL":     (HELLO_FIRST,    _do._mail_from, NESTED,         NESTED),
    "RCPT":     (HELLO_FIRST,    MAIL_FIRST,     _do._rcpt_to,   _do._rcpt_to),
    "DATA":     (HELLO_FIRST,    MAIL_FIRST,     RCPT_FIRST,     _do._data),
    "RSET":     (_do._rset,      _do._rset,      _do._rset,      _do._rset),
    "NOOP":     (OK,             OK,             OK,             OK),
    "VRFY":     (_do._vrfy,      _do._vrfy,      _do._vrfy,      _do._vrfy),
    "HELP":     (HELP,           HELP,           HELP,           HELP),
    "QUIT":     (_do._quit,      _do._quit,      _do._quit,      _do._quit),
    **dict.fromkeys(_NOT_OFFERED, (NOT_HERE, NOT_HERE, NOT_HERE, NOT_HERE)),
})
# fmt: on
