"""An SMTP and LMTP client without I/O (RFC 5321, 2033, 2920, 1870, 6152).

Give `Client` what arrives (`receive`), send what it says (`to_send`), and take from `outcomes` what
became of the recipients.  One Client is one connection; many messages go through it one after
another, each from READY back to READY::

    GREETING -> HELLO -> READY -> ENVELOPE -> BODY -> ANSWER -> READY
                           ^          |  everyone refused         |
                           +----------+----------------------------+     quit(): CLOSING

MAIL, RCPT and DATA go out in one piece where the server offers PIPELINING.  In LMTP the final dot
is answered once for each accepted recipient.  BODY=8BITMIME and SIZE= are said where offered.

Guarantees: a recipient is DELIVERED by exactly a 250 to the final dot, and by nothing else.  Only
the codes a step allows count as success; a reply that nobody asked for, that is malformed, or
that means nothing here raises ConnectionLost, and so does 421.  Each recipient gets at most one
outcome.  Nothing a peer sends grows memory, and its words come out as printable ASCII.

It never opens, waits or sleeps: timeouts are the caller's (connection.py).  STARTTLS
and AUTH belong into `_hello` (between HELLO and READY), the DSN and SMTPUTF8 parameters into
`begin`, and BDAT beside `body`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from spoolscan.forwarder.body import DotStuffer
from spoolscan.forwarder.delivery import (
    ConnectionLost,
    Fate,
    NextHopDown,
    Outcome,
    checked_path,
)
from spoolscan.forwarder.replies import Reply, ReplyReader, Unreadable


class Phase(Enum):
    """Where the conversation stands."""

    GREETING = auto()
    HELLO = auto()
    READY = auto()
    ENVELOPE = auto()
    BODY = auto()
    ANSWER = auto()
    CLOSING = auto()
    CLOSED = auto()


class Step(Enum):
    """What a reply answers."""

    GREETING = "the greeting"
    EHLO = "EHLO"
    HELO = "HELO"
    RSET = "RSET"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    END = "the final dot"
    QUIT = "QUIT"


SUCCESS: Final[Mapping[Step, frozenset[int]]] = MappingProxyType(
    {
        Step.GREETING: frozenset({220}),
        Step.EHLO: frozenset({250}),
        Step.HELO: frozenset({250}),
        Step.RSET: frozenset({250}),
        Step.MAIL: frozenset({250}),
        Step.RCPT: frozenset({250, 251, 252}),
        Step.DATA: frozenset({354}),
        Step.END: frozenset({250}),
        Step.QUIT: frozenset({221}),
    }
)


class Client:
    """One connection's conversation.  ``hostname`` is what we say in EHLO, ``peer`` who it is."""

    def __init__(self, hostname: str, peer: str, *, lmtp: bool = False) -> None:
        self.phase = Phase.GREETING
        self.features: dict[str, str] = {}
        self._hostname = hostname
        self._peer = peer
        self._lmtp = lmtp
        self._reader = ReplyReader()
        self._out = bytearray()
        self._plan: deque[tuple[Step, int, bytes]] = deque()  # still to be said
        self._asked: deque[tuple[Step, int]] = deque([(Step.GREETING, -1)])  # said, unanswered
        self._unfinished = False  # the server may still hold an envelope of ours
        self._open: dict[int, None] = {}  # recipients without an outcome, in order
        self._accepted: deque[int] = deque()
        self._stuffer = DotStuffer()
        self._outcomes: list[tuple[int, Outcome]] = []

    # What the caller does

    def to_send(self) -> bytes:
        """What is to be written now."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def outcomes(self) -> list[tuple[int, Outcome]]:
        """What became known since the last call: (position in ``recipients``, outcome)."""
        known, self._outcomes = self._outcomes, []
        return known

    def begin(
        self, sender: str, recipients: Sequence[str], *, size: int = 0, eight_bit: bool = False
    ) -> None:
        """Start a message; in READY only.  ``size`` in bytes.

        Raises Corrupt where an address cannot stand in a command.
        """
        self._demand(Phase.READY)
        paths = [checked_path(address) for address in (sender, *recipients)]
        self._open = dict.fromkeys(range(len(recipients)))
        self._accepted.clear()
        limit = self.features.get("SIZE", "")
        if limit.isdecimal() and 0 < int(limit[:20]) < size:
            text = f"message of {size} bytes is larger than the next hop takes ({limit[:20]})"
            return self._settle_open(Outcome(Fate.REFUSED, "5.3.4", text))
        for place, path in enumerate(paths):
            # SMTPUTF8 is to be said where it is offered; nobody may guess at these bytes before.
            if not path.isascii():
                text = "internationalized address, which the next hop was not asked to take"
                outcome = Outcome(Fate.REFUSED, "5.6.7", text)
                if place == 0:
                    return self._settle_open(outcome)
                self._settle(place - 1, outcome)
        if self._open:
            self._say_envelope(paths, size, eight_bit)
        return None

    def body(self, chunk: bytes) -> None:
        """Send the next bytes of the message; in BODY only.  Raises Corrupt: close then."""
        self._demand(Phase.BODY)
        self._out += self._stuffer.feed(chunk)

    def end(self) -> None:
        """Send the end of the message, which makes the server answer.  Raises Corrupt."""
        self._demand(Phase.BODY)
        self._out += self._stuffer.finish()
        self._asked.extend([(Step.END, -1)] * (len(self._accepted) if self._lmtp else 1))
        self.phase = Phase.ANSWER

    def quit(self) -> None:
        """Say goodbye; in READY only."""
        self._demand(Phase.READY)
        self.phase = Phase.CLOSING
        self._ask(Step.QUIT, b"QUIT\r\n")

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
        before = self.phase in (Phase.GREETING, Phase.HELLO)
        step = f" at {self._asked[0][0].value}" if self._asked else ""
        self.phase = Phase.CLOSED
        return (NextHopDown if before else ConnectionLost)(f"{self._peer}{step}: {why}")

    def _take(self, step: Step, place: int, reply: Reply) -> None:
        accepted = reply.code in SUCCESS[step]
        if reply.code == 421 or (reply.code < 400 and not accepted):
            self._asked.appendleft((step, place))
            raise self.lost(reply.text)
        match step:
            case Step.GREETING | Step.EHLO | Step.HELO:
                self._hello(step, reply, accepted=accepted)
            case Step.RSET if not accepted:
                raise self.lost(reply.text)
            case Step.MAIL if not accepted:
                self._settle_open(self._outcome(reply))
            case Step.RCPT if place in self._open:
                self._rcpt(place, reply, accepted=accepted)
            case Step.DATA:
                self._data(reply, accepted=accepted)
            case Step.END:
                self._end(reply)
            case Step.QUIT:
                self.phase = Phase.CLOSED
        self._say_more()

    def _hello(self, step: Step, reply: Reply, *, accepted: bool) -> None:
        """A server that will not talk to us at all is down; it has not refused any message."""
        name = self._hostname.encode("ascii", "replace")
        if step is Step.GREETING and accepted:
            self.phase = Phase.HELLO
            self._ask(Step.EHLO, (b"LHLO " if self._lmtp else b"EHLO ") + name + b"\r\n")
        elif step is Step.EHLO and reply.code >= 500 and not self._lmtp:
            self._ask(Step.HELO, b"HELO " + name + b"\r\n")
        elif accepted:
            if step is Step.EHLO:
                words = (line.split() for line in reply.lines[1:])
                self.features = {line[0].upper(): " ".join(line[1:]) for line in words if line}
            self.phase = Phase.READY
        else:
            self._asked.appendleft((step, -1))
            raise self.lost(reply.text)

    def _say_envelope(self, paths: Sequence[str], size: int, eight_bit: bool) -> None:
        words = [f"MAIL FROM:<{paths[0]}>"]
        if "SIZE" in self.features:
            words.append(f"SIZE={size}")
        if eight_bit and "8BITMIME" in self.features:
            # Where it is not offered the bytes go as they are: re-encoding would break signatures.
            words.append("BODY=8BITMIME")
        if self._unfinished:
            self._plan.append((Step.RSET, -1, b"RSET\r\n"))
        self._plan.append((Step.MAIL, -1, " ".join(words).encode("ascii") + b"\r\n"))
        for place in self._open:
            command = f"RCPT TO:<{paths[place + 1]}>\r\n".encode("ascii")
            self._plan.append((Step.RCPT, place, command))
        self._plan.append((Step.DATA, -1, b"DATA\r\n"))
        self._stuffer = DotStuffer()
        self._unfinished = True
        self.phase = Phase.ENVELOPE
        self._say_more()

    def _say_more(self) -> None:
        """All of the plan where the server takes commands in one go, else its next line."""
        if self._plan and not self._open:
            self._plan.clear()  # everybody was refused before DATA was said
        while self._plan and ("PIPELINING" in self.features or not self._asked):
            step, place, line = self._plan.popleft()
            self._ask(step, line, place)
        if self.phase is Phase.ENVELOPE and not self._asked:
            self.phase = Phase.READY

    def _rcpt(self, place: int, reply: Reply, *, accepted: bool) -> None:
        if accepted:
            self._accepted.append(place)
        elif reply.code == 552:  # too many recipients: RFC 5321 section 4.5.3.1.10
            self._settle(place, Outcome(Fate.DEFERRED, "4.5.3", reply.text, self._peer))
        else:
            self._settle(place, self._outcome(reply))

    def _data(self, reply: Reply, *, accepted: bool) -> None:
        if not accepted:
            self._settle_open(self._outcome(reply))
        elif self._accepted and self._open:
            self.phase = Phase.BODY
        else:
            # RFC 2920 section 3.1 has us send a lone dot, which a server this confused may deliver.
            self._asked.appendleft((Step.DATA, -1))
            raise self.lost("354 although no recipient was accepted")

    def _end(self, reply: Reply) -> None:
        outcome = self._outcome(reply)
        for place in [self._accepted.popleft()] if self._lmtp else list(self._accepted):
            self._settle(place, outcome)
        if not self._asked:
            self._unfinished = False
            self.phase = Phase.READY

    def _outcome(self, reply: Reply) -> Outcome:
        fate = {2: Fate.DELIVERED, 4: Fate.DEFERRED, 5: Fate.REFUSED}[reply.code // 100]
        return Outcome(fate, reply.status, reply.text, self._peer)

    def _settle(self, place: int, outcome: Outcome) -> None:
        del self._open[place]
        self._outcomes.append((place, outcome))

    def _settle_open(self, outcome: Outcome) -> None:
        for place in list(self._open):
            self._settle(place, outcome)

    def _ask(self, step: Step, line: bytes, place: int = -1) -> None:
        self._out += line
        self._asked.append((step, place))

    def _demand(self, phase: Phase) -> None:
        if self.phase is not phase:
            raise RuntimeError(f"in {self.phase.name}, where {phase.name} is needed")
