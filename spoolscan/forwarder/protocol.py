"""An SMTP and LMTP client without I/O (RFC 5321, 2033, 2920, 3030; the rest in hello and commands).

Give `Client` what arrives (`receive`), send what it says (`to_send`), and take from `outcomes` what
became of the recipients.  One Client is one connection; many messages go through it one after
another, each from READY back to READY::

    GREETING -> HELLO -> READY -> ENVELOPE -> BODY -> ANSWER -> READY
                | ^        ^          |  everyone refused         |
                v |        +----------+----------------------------+     quit(): CLOSING
                TLS  the caller shakes hands, then says secured()

MAIL, RCPT and DATA go out in one piece where the server offers PIPELINING.  Where it offers
CHUNKING too the content goes as it is, by BDAT.  It could go out with the envelope; but content is
sent only when recipients were accepted, and its last piece only when all others were, for a server
that contradicts itself would have a message then that we take for undelivered.  In LMTP the end of
the message is answered once for each accepted recipient.

Guarantees: a recipient is DELIVERED by exactly a 250 to the end of the message, and by nothing
else.  Only the codes a step allows count as success; a reply that nobody asked for, that is
malformed, or that means nothing here raises ConnectionLost, and so does 421.  Each recipient gets
at most one outcome.  Nothing a peer sends grows memory, and its words come out as printable ASCII.

It never opens, waits or sleeps: timeouts and handshakes are the caller's (connection.py).
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import Final

from spoolscan.forwarder import commands
from spoolscan.forwarder.body import Canonical, DotStuffer
from spoolscan.forwarder.delivery import (
    ConnectionLost,
    Fate,
    Mail,
    NextHopDown,
    Outcome,
    Success,
    TlsFailed,
    Wish,
    checked_path,
)
from spoolscan.forwarder.hello import Hello, Said, Unwelcome
from spoolscan.forwarder.replies import SUCCESS, Reply, ReplyReader, Step, Unreadable
from spoolscan.nexthop.options import Options

PIECE: Final = 65_536  # bytes of content that are gathered before they are sent

_IN_THE_CLEAR: Final = Options(tls="none")
_NOBODY: Final = -1  # the recipient of a command that is about none


class Phase(Enum):
    """Where the conversation stands."""

    GREETING = auto()
    HELLO = auto()
    TLS = auto()
    READY = auto()
    ENVELOPE = auto()
    BODY = auto()
    ANSWER = auto()
    CLOSING = auto()
    CLOSED = auto()


class Client:
    """One connection's conversation.  ``hostname`` is what we say in EHLO, ``peer`` who it is.

    ``eight_bit``: 8-bit mail goes also where 8BITMIME is not offered.  ``chunking``: BDAT may be
    used.
    """

    def __init__(
        self,
        hostname: str,
        peer: str,
        options: Options = _IN_THE_CLEAR,
        *,
        lmtp: bool = False,
        eight_bit: bool = True,
        chunking: bool = True,
    ) -> None:
        self.phase = Phase.GREETING
        self._peer = peer
        self._lmtp = lmtp
        self._eight_bit = eight_bit
        self._xforward = options.xforward
        self._may_chunk = chunking
        self._hello = Hello(hostname, options, lmtp=lmtp)
        self._reader = ReplyReader()
        self._out = bytearray()
        self._plan: deque[tuple[Step, int, bytes]] = deque()  # still to be said
        # said, unanswered; a step, and the recipient it is about
        self._asked: deque[tuple[Step, int]] = deque([(Step.GREETING, _NOBODY)])
        self._unfinished = False  # the server may still hold an envelope of ours
        self._open: dict[int, None] = {}  # recipients without an outcome, in order
        self._accepted: deque[int] = deque()
        self._chunked = False  # this message goes by BDAT
        self._whole = False  # all of its content is held
        self._body: Canonical | DotStuffer = DotStuffer()
        self._held = bytearray()  # content that is ready to be said
        self._outcomes: dict[int, Outcome] = {}

    # What the caller does

    @property
    def features(self) -> dict[str, str]:
        """What the server offers: keyword in capitals -> what stood behind it."""
        return self._hello.features

    def to_send(self) -> bytes:
        """What is to be written now."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def outcomes(self) -> dict[int, Outcome]:
        """What became known since the last call: index of the recipient -> outcome."""
        known, self._outcomes = self._outcomes, {}
        return known

    @property
    def is_known(self) -> bool:
        """There is something for `outcomes` to give."""
        return bool(self._outcomes)

    def secured(self) -> None:
        """The handshake is done; in TLS only."""
        self._demand(Phase.TLS)
        self.phase = Phase.HELLO
        self._say(self._hello.secured())

    def begin(self, mail: Mail) -> None:
        """Start a message; in READY only.  A small one needs no `body` and `end`.

        Raises Corrupt where an address, or a small one's content, cannot be said: close then.
        """
        self._demand(Phase.READY)
        for address in (mail.sender, *(address for _, address in mail.recipients)):
            checked_path(address)
        self._open = dict.fromkeys(index for index, _ in mail.recipients)
        self._accepted.clear()
        refusal = commands.refusal(mail, self.features, eight_bit=self._eight_bit)
        if refusal is not None:
            self._settle_open(refusal)
        elif "SMTPUTF8" not in self.features:
            for index, address in mail.recipients:
                if not address.isascii():
                    self._settle(index, commands.unspeakable("recipient's"))
        if self._open:
            self._say_envelope(mail)

    def body(self, chunk: bytes) -> None:
        """Take the next bytes of the message; in BODY only.  Raises Corrupt: close then."""
        self._demand(Phase.BODY)
        content = self._body.feed(chunk)
        if self._held and len(self._held) + len(content) > PIECE:
            self._say_content()
        self._held += content

    def end(self) -> None:
        """Send the end of the message, which makes the server answer.  Raises Corrupt."""
        self._demand(Phase.BODY)
        self._held += self._body.finish()
        self.phase = Phase.ANSWER
        if not self._asked:
            self._say_last()

    def quit(self) -> None:
        """Say goodbye; in READY only."""
        self._demand(Phase.READY)
        self.phase = Phase.CLOSING
        self._say((Step.QUIT, b"QUIT\r\n"))

    # What the server does

    def receive(self, data: bytes) -> None:
        """Take what arrived.  Raises ConnectionLost or NextHopDown: close then."""
        self._reader.feed(data)
        try:
            while (reply := self._reader.next()) is not None:
                if not self._asked or self._out:  # what we have not sent yet has no answer yet
                    raise self.lost(f"a reply that nobody asked for: {reply.text}")
                self._take(*self._asked.popleft(), reply)
            if not self._asked and not self._reader.is_empty:
                raise self.lost("a reply that nobody asked for")
        except Unreadable as error:
            raise self.lost(str(error)) from None

    def lost(self, why: str) -> ConnectionLost | NextHopDown:
        """The error that ``why`` is at this point; the conversation is over."""
        step = self._asked[0][0] if self._asked else None
        text = f"{self._peer}{f' at {step.value}' if step else ''}: {why}"
        phase, self.phase = self.phase, Phase.CLOSED
        if phase is Phase.TLS or step is Step.STARTTLS:
            return TlsFailed(text)
        return (NextHopDown if phase in (Phase.GREETING, Phase.HELLO) else ConnectionLost)(text)

    def _take(self, step: Step, index: int, reply: Reply) -> None:
        accepted = reply.code in SUCCESS[step]
        if reply.code == 421 or (reply.code < 400 and not accepted):
            self._asked.appendleft((step, index))
            raise self.lost(str(reply.code) if step is Step.AUTH else reply.text)
        match step:
            case Step.GREETING | Step.EHLO | Step.HELO | Step.STARTTLS | Step.AUTH:
                self._introduce(step, reply, accepted=accepted)
            case Step.RSET if not accepted:
                raise self.lost(reply.text)
            case Step.MAIL if not accepted:
                self._settle_open(self._outcome(reply))
            case Step.RCPT if index in self._open:
                self._rcpt(index, reply, accepted=accepted)
            case Step.DATA:
                self._data(reply, accepted=accepted)
            case Step.BDAT if not accepted:
                self._settle_open(self._outcome(reply))
                raise self.lost(reply.text)  # it may take what follows for a message
            case Step.BDAT if self.phase is Phase.ANSWER and not self._asked:
                self._say_last()
            case Step.END:
                self._end(reply, accepted=accepted)
            case Step.QUIT:
                self.phase = Phase.CLOSED
        self._say_more()

    def _introduce(self, step: Step, reply: Reply, *, accepted: bool) -> None:
        """A server that will not talk to us at all is down; it has not refused any message."""
        self.phase = Phase.HELLO
        if step is Step.STARTTLS and accepted:
            self.phase = Phase.TLS
            return
        try:
            said = self._hello.next(step, reply)
        except Unwelcome as error:
            self._asked.appendleft((step, _NOBODY))
            raise self.lost(str(error)) from None
        if said is None:
            self.phase = Phase.READY
        else:
            self._say(said)

    def _say_envelope(self, mail: Mail) -> None:
        features = self.features
        offered = "CHUNKING" in features and "PIPELINING" in features
        self._chunked = offered and self._may_chunk
        self._body = Canonical() if self._chunked else DotStuffer()
        self._held.clear()
        self._whole = mail.whole is not None
        if mail.whole is not None:
            self._held += self._body.feed(mail.whole) + self._body.finish()
        if self._unfinished:
            self._plan.append((Step.RSET, _NOBODY, b"RSET\r\n"))
        if self._xforward and (line := commands.xforward_line(mail, features)):
            self._plan.append((Step.XFORWARD, _NOBODY, line))
        self._plan.append((Step.MAIL, _NOBODY, commands.mail_line(mail, features)))
        for index, address in mail.recipients:
            if index in self._open:
                line = commands.rcpt_line(address, mail.wishes.get(index, Wish()), features)
                self._plan.append((Step.RCPT, index, line))
        if not self._chunked:
            self._plan.append((Step.DATA, _NOBODY, b"DATA\r\n"))
        self._unfinished = True
        self.phase = Phase.ENVELOPE
        self._say_more()

    def _say_more(self) -> None:
        """All of the plan where the server takes commands in one go, else its next line."""
        if self._plan and not self._open:
            self._plan.clear()  # everybody was refused before DATA was said
        while self._plan and ("PIPELINING" in self.features or not self._asked):
            step, index, line = self._plan.popleft()
            self._say((step, line), index)
        if self.phase is Phase.ENVELOPE and not self._asked:
            if self._chunked and self._open:
                self._invite()
            else:
                self.phase = Phase.READY

    def _invite(self) -> None:
        """It is the content's turn."""
        if self._whole:
            self.phase = Phase.ANSWER
            self._say_last()
        else:
            self.phase = Phase.BODY

    def _say_last(self) -> None:
        self._say_content(last=True)
        self._asked.extend([(Step.END, _NOBODY)] * (len(self._accepted) if self._lmtp else 1))

    def _say_content(self, *, last: bool = False) -> None:
        if self._chunked:
            self._out += b"BDAT %d%b\r\n" % (len(self._held), b" LAST" if last else b"")
            if not last:
                self._asked.append((Step.BDAT, _NOBODY))
        self._out += self._held
        self._held.clear()

    def _rcpt(self, index: int, reply: Reply, *, accepted: bool) -> None:
        if accepted:
            self._accepted.append(index)
        elif reply.code == 552:  # too many recipients: RFC 5321 section 4.5.3.1.10
            self._settle(index, Outcome(Fate.DEFERRED, "4.5.3", reply.text, self._peer))
        else:
            self._settle(index, self._outcome(reply))

    def _data(self, reply: Reply, *, accepted: bool) -> None:
        if not accepted:
            self._settle_open(self._outcome(reply))
        elif self._accepted and self._open:
            self._invite()
        else:
            # RFC 2920 section 3.1 has us send a lone dot, which a server this confused may deliver.
            self._asked.appendleft((Step.DATA, _NOBODY))
            raise self.lost("354 although no recipient was accepted")

    def _end(self, reply: Reply, *, accepted: bool) -> None:
        outcome = self._outcome(reply)
        for index in [self._accepted.popleft()] if self._lmtp else list(self._accepted):
            self._settle(index, outcome)
        if not self._asked:
            # After a BDAT that failed nobody knows what the server still holds (RFC 3030, 2).
            self._unfinished = self._chunked and not accepted
            self.phase = Phase.READY

    def _outcome(self, reply: Reply) -> Outcome:
        fate = {2: Fate.DELIVERED, 4: Fate.DEFERRED, 5: Fate.REFUSED}[reply.code // 100]
        success = Success.DELIVERED if self._lmtp else Success.RELAYED
        if "DSN" in self.features:
            success = Success.PASSED
        return Outcome(fate, reply.status, reply.text, self._peer, success)

    def _settle(self, index: int, outcome: Outcome) -> None:
        del self._open[index]
        self._outcomes[index] = outcome

    def _settle_open(self, outcome: Outcome) -> None:
        for index in list(self._open):
            self._settle(index, outcome)

    def _say(self, said: Said, index: int = _NOBODY) -> None:
        step, line = said
        self._out += line
        self._asked.append((step, index))

    def _demand(self, phase: Phase) -> None:
        if self.phase is not phase:
            raise RuntimeError(f"in {self.phase.name}, where {phase.name} is needed")
