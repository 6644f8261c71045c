"""The server's side of one SMTP or LMTP session, without sockets, clock or spool (RFC 5321, 2033).

The driver feeds it bytes and asks for events; it asks back for what only the driver can know::

    session = Session(terms)
    session.greet()
    while True:
        match event := session.next_event():
            case NeedData():  send(session.take_output()); session.receive_data(receive())
            case Mail() | Rcpt() | DataStarts() | DataEnds() | Login():  session.answer(reply)
            case Identify():  session.terms = terms of that peer; session.answer(reply)
            case StartTLS():  send(session.take_output()); handshake; session.secured(cipher)
            case Chunk():     write(event.data)
            case Refused():   throw the message away; the session says so at its end
            case Abandoned(): throw the message away
            case Closed():    send(session.take_output()); hang up

What it guarantees:

- the commands obeyed are those of `commands.TABLE`, in the state the table names, and no others;
- a message ends at CR LF . CR LF only, or where the sizes of BDAT say, and is handed out in
  canonical form (`dotted`, `chunked`);
- nothing may wait behind a command that needs an answer first: such a peer is cut off (RFC 2920);
- memory is bounded by one segment and one command line, whatever is sent; time is linear in it;
- no byte sequence raises.  RuntimeError means that the driver broke the rules above.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from spoolscan.receiver.address import NULL
from spoolscan.receiver.attributes import NOTHING, Attributes
from spoolscan.receiver.commands import (
    FOREIGN_VERBS,
    IDLE,
    LAST_IN_GROUP,
    TABLE,
    Outcome,
    respond,
)
from spoolscan.receiver.conduct import Conduct
from spoolscan.receiver.dialogue import Dialogue
from spoolscan.receiver.dotted import BareLF
from spoolscan.receiver.events import (
    Abandoned,
    Chunk,
    Closed,
    DataEnds,
    DataStarts,
    Event,
    Identify,
    Login,
    Mail,
    NeedData,
    Question,
    Rcpt,
    Refused,
    StartTLS,
    State,
    Terms,
)
from spoolscan.receiver.inbound import Inbound
from spoolscan.receiver.reply import (
    BARE_LF,
    CONTROL,
    EARLY,
    FOREIGN,
    GO_SECURE,
    OK,
    TOO_LONG,
    UNKNOWN,
    Reply,
)

LINE_BYTES: Final = 2048  # RFC 5321 4.5.3.1.4: 512, and more where extensions add parameters

_CONTROLS: Final = bytes([*range(0x20), 0x7F])


class Session:
    """One connection's protocol.  See the module for how it is driven.

    ``terms`` may be changed between two events; ``tls`` is protocol and cipher, "" in the clear;
    ``user`` is as whom the peer logged in, ``peer`` what XCLIENT said it is.
    """

    def __init__(self, terms: Terms, tls: str = "") -> None:
        self.terms = terms
        self.tls = tls
        self.state = State.START
        self.helo = ""
        self.esmtp = False
        self.user = ""
        self.peer: Attributes = NOTHING
        self.origin: Attributes = NOTHING  # of the next message, by XFORWARD
        self.mail = Mail(NULL)
        self.recipients: list[Rcpt] = []
        self.dialogue: Dialogue | None = None  # the last that began
        self._greeted = False
        self._buffer = bytearray()
        self._output = bytearray()
        self._events: deque[Event] = deque()
        self._question: Question | None = None
        self._conduct = Conduct()
        self._inbound = Inbound(terms)

    @property
    def under_way(self) -> bool:
        """Whether a message has begun, and its end has not come."""
        return self.state in (State.DATA, State.BDAT)

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
        if self.state is State.TLS and data:
            self.close(EARLY)  # in the clear, where a handshake has to come
        elif self.state is not State.CLOSED:
            self._buffer += data

    def secured(self, tls: str) -> None:
        """The handshake is made.  All that was said in the clear is forgotten (RFC 3207 4.2)."""
        if self.state is not State.TLS or self._events:
            raise RuntimeError("a handshake that nobody asked for")
        self.tls = tls
        self.user = self.helo = ""
        self.esmtp = False
        self.reset()

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
            if self.state is State.TLS:
                raise RuntimeError("next_event before the handshake")
            if not self._step():
                return NeedData()
        event = self._events.popleft()
        if isinstance(event, Question):
            self._question = event
        return event

    def answer(self, reply: Reply) -> None:
        """Answer the last event.  A positive reply moves the session on."""
        question, self._question = self._question, None
        match question:
            case None:
                raise RuntimeError("answer without a question")
            case DataStarts(chunked=True) if reply.code != 421:
                self._inbound.refusal = None if reply.positive else reply
                self.state = State.DATA
            case DataStarts() if reply.positive and self._buffer:
                self.close(EARLY)
            case DataEnds():
                self._conclude(reply)
            case Identify() if reply.positive:
                self._become(question.peer)
            case _:
                self._say(reply)
                if self.state is not State.CLOSED:
                    self._go_on(question, reply)

    @property
    def errors(self) -> int:
        """How many commands were refused for good."""
        return self._conduct.errors

    def refuse_message(self, reply: Reply) -> None:
        """Give up the message under way; the rest of it is read and dropped, then this is said.

        For trouble found between two chunks.  No `DataEnds` comes after it.
        """
        self._inbound.refusal = self._inbound.refusal or reply
        if DataEnds() in self._events:
            self._events.clear()
            self._conclude(self._inbound.refusal)

    # -- what a command does -----------------------------------------------------------------------

    def greeted_by(self, helo: str, *, esmtp: bool) -> None:
        """The peer said who it is."""
        self.helo = helo
        self.esmtp = esmtp
        self.reset()

    def start_tls(self) -> None:
        """The next bytes are a handshake."""
        self._say(GO_SECURE)
        self._events.append(StartTLS())
        self.state = State.TLS

    def challenge(self, dialogue: Dialogue) -> Reply:
        """The next line answers what this asks."""
        self.dialogue = dialogue
        self.state = State.AUTH
        return Reply(334, "", dialogue.challenge)

    def begin_chunk(self, size: int, refusal: Reply | None, *, last: bool) -> None:
        """The next bytes are of the message; where there is a refusal, they are dropped first."""
        if self.state is not State.BDAT:
            self._inbound = Inbound(self.terms, chunked=True)
        self._inbound.expect(size, last=last)
        self._inbound.refusal = self._inbound.refusal or refusal
        self.state = State.DATA

    def waste(self) -> None:
        """A command that leads to no mail."""
        self._end_by(self._conduct.wasted(self.terms))

    def reset(self) -> None:
        """Forget the message: envelope and body (RFC 5321 4.1.1.5)."""
        if self.state is State.BDAT:
            self._events.append(Abandoned())
        self.mail = Mail(NULL)
        self.recipients = []
        self.origin = NOTHING
        if self.state is not State.CLOSED:
            self.state = State.READY if self.helo else State.START

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
        """One command line, by the table, or the answer to a challenge."""
        text = line.removesuffix(b"\n").removesuffix(b"\r")
        # What is not UTF-8 stays something that is not ASCII: no keyword, and no address.
        words = text.decode("utf-8", "replace")
        word, _, argument = words.partition(" ")
        verb = word.upper() if word.isascii() else ""
        answers = self.state is State.AUTH
        if answers:
            self.state = State.READY
        if self._buffer and (not self.esmtp or answers or verb in LAST_IN_GROUP):
            self.close(EARLY)
        elif not line.endswith(b"\r\n") and self.terms.bare_lf is BareLF.REFUSE:
            self._say(BARE_LF)
        elif text != text.translate(None, _CONTROLS):
            self._say(CONTROL)
        elif answers:
            self._follow(respond(self, words))
        elif verb in FOREIGN_VERBS:
            self.close(FOREIGN)
        else:
            self._perform(verb, argument.strip(" "))

    def _perform(self, verb: str, argument: str) -> None:
        if verb in IDLE:
            self.waste()
        if self.state is State.CLOSED:
            return
        cell = TABLE[verb][self.state] if verb in TABLE else UNKNOWN
        self._follow(cell if isinstance(cell, Reply) else cell(self, argument))

    def _follow(self, outcome: Outcome) -> None:
        if isinstance(outcome, Reply):
            self._say(outcome)
        elif outcome is not None:
            self._events.append(outcome)

    def _say(self, reply: Reply) -> None:
        if reply.code == 421:  # "closing transmission channel", always
            self.close(reply)
            return
        self._output += reply.wire()
        if reply.code >= 400:
            going_on = self.state is State.RCPT
            self._end_by(self._conduct.refused(reply, self.terms, going_on=going_on))

    def _end_by(self, reply: Reply | None) -> None:
        if reply is not None:
            self.close(reply)

    # -- answers -----------------------------------------------------------------------------------

    def _go_on(self, question: Question, reply: Reply) -> None:
        """A question was answered, and the reply is said."""
        match question:
            case Mail() if reply.positive:
                self.mail = question
                self.recipients = []
                self.state = State.MAIL
            case Rcpt() if reply.positive:
                self.recipients.append(question)
                self.state = State.RCPT
            case DataStarts() if reply.positive:
                self._inbound = Inbound(self.terms)
                self.state = State.DATA
            case DataStarts():
                self.reset()
                self.waste()
            case Login() if reply.positive:
                self.user = question.user
            case Login():
                self._end_by(self._conduct.mistook())

    def _become(self, peer: Attributes) -> None:
        """From now on the session is with somebody else, who was not yet greeted."""
        self.peer = peer
        self.user = peer.login or ""
        self.helo = ""
        self.esmtp = False
        self.reset()
        self._say(Reply(220, "", self.terms.banner))

    # -- the message -------------------------------------------------------------------------------

    def _read_body(self) -> bool:
        """Take all that is in the buffer, up to the end of the message or of its chunk."""
        inbound, known = self._inbound, self._inbound.refusal
        if not self._buffer and inbound.wanted != 0:
            return False
        data = bytes(self._buffer[: inbound.wanted])
        del self._buffer[: inbound.wanted]
        if chunk := inbound.feed(data):
            self._events.append(Chunk(chunk))
        if inbound.refusal is not None and known is None:
            self._events.append(Refused(inbound.refusal))
        if inbound.ended:
            self._buffer += inbound.rest
            self._end(inbound.refusal)
        elif inbound.wanted == 0:
            self._end_chunk(inbound.refusal)
        elif inbound.refusal is not None and inbound.endless:
            self.close(inbound.refusal)
        return True

    def _end_chunk(self, refusal: Reply | None) -> None:
        """More are to come, unless the message is refused."""
        if refusal is None:
            self.state = State.BDAT
            self._say(OK)
        else:
            self._say(refusal)
            self.reset()

    def _end(self, refusal: Reply | None) -> None:
        if refusal is None:
            self._events.append(DataEnds())
        else:
            self._conclude(refusal)

    def _conclude(self, reply: Reply) -> None:
        """The whole message is answered: in LMTP once for each recipient (RFC 2033 4.2)."""
        if self.terms.lmtp and self.recipients:
            self._output += reply.wire() * (len(self.recipients) - 1)
        if reply.positive:
            self._conduct.delivered()
        self._say(reply)
        self.reset()
