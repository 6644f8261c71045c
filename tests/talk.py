"""A session with a driver that says yes to everything, for tests without sockets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

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
    Rcpt,
    Refused,
    StartTLS,
    Terms,
)
from spoolscan.receiver.reply import (
    GO_AHEAD,
    LOGGED_IN,
    NOT_LOGGED_IN,
    OK,
    RECIPIENT_OK,
    SENDER_OK,
    Reply,
)
from spoolscan.receiver.session import Session

TERMS = Terms(
    host="mx.example",
    banner="mx.example ESMTP",
    message_bytes=100_000,
    recipients=1000,
    errors=20,
    idle_commands=100,
    hops=50,
    bare_lf=BareLF.REFUSE,
)
HELLO = b"EHLO client.example\r\n"
PATHS = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@site.example>\r\n"
ENVELOPE = PATHS + b"DATA\r\n"
LHLO = b"LHLO client.example\r\n"
THREE = b"MAIL FROM:<>\r\n" + b"".join(b"RCPT TO:<%d@d.example>\r\n" % n for n in range(3))
LENIENT = replace(TERMS, bare_lf=BareLF.NORMALISE)
WITH_TLS = replace(TERMS, starttls=True, auth=True)
PROXY = replace(TERMS, proxy=True)
LMTP = replace(TERMS, lmtp=True)


def chunk(data: bytes, *, last: bool = False) -> bytes:
    return b"BDAT %d%s\r\n%s" % (len(data), b" LAST" if last else b"", data)


@dataclass
class Talk:
    """A session with a driver that says yes to everything, and what came of it."""

    terms: Terms = TERMS
    data_reply: Reply = GO_AHEAD
    messages: list[bytes] = field(default_factory=list)
    envelopes: list[DataStarts] = field(default_factory=list)
    refused: list[Reply] = field(default_factory=list)
    abandoned: int = 0
    logins: list[Login] = field(default_factory=list)
    answers: Mapping[str, Reply] = field(default_factory=dict)  # to MAIL, RCPT, END in place of yes
    tls: str = "TLSv1.3 X"
    password: str = "secret"
    output: bytes = b""
    closed: bool = False
    largest: int = 0

    def __post_init__(self) -> None:
        self.session = Session(self.terms)
        self._body = b""

    def run(self, segments: Iterable[bytes], *, greet: bool = True) -> Talk:
        if greet:
            self.session.greet()
        for segment in segments:
            self.settle()
            self.session.receive_data(segment)
        self.settle()
        return self

    def settle(self) -> None:
        while not self.step():
            pass
        self.output += self.session.take_output()

    def step(self) -> bool:
        event = self.session.next_event()
        match event:
            case NeedData():
                return True
            case Closed():
                self.closed = True
                return True
            case DataStarts():
                self._body = b""
                self.envelopes.append(event)
                self.session.answer(self.data_reply)
            case Chunk(data):
                self.largest = max(self.largest, len(data))
                self._body += data
            case Refused(reply):
                self.refused.append(reply)
            case Abandoned():
                self.abandoned += 1
                self._body = b""
            case DataEnds():
                self.messages.append(self._body)
                self.session.answer(self.answers.get("END", OK))
            case _:
                self._answer(event)
        return False

    def _answer(self, event: Event) -> None:
        match event:
            case Mail():
                self.session.answer(self.answers.get("MAIL", SENDER_OK))
            case Rcpt(path):
                yes = path.local.startswith("ok")
                self.session.answer(RECIPIENT_OK if yes else self.answers.get("RCPT", RECIPIENT_OK))
            case Login():
                self.logins.append(event)
                right = event.password == self.password
                self.session.answer(LOGGED_IN if right else NOT_LOGGED_IN)
            case Identify():
                self.session.answer(OK)
            case StartTLS():
                self.output += self.session.take_output()
                self.session.secured(self.tls)

    @property
    def replies(self) -> list[str]:
        """The last line of each reply, without the banner."""
        lines = self.output.decode("ascii").split("\r\n")
        return [line for line in lines if line[3:4] == " "][1:]

    @property
    def codes(self) -> list[str]:
        return [reply[:3] for reply in self.replies]


def talk(*segments: bytes, terms: Terms = TERMS) -> Talk:
    return Talk(terms).run(segments)


def send(body: bytes, *, terms: Terms = TERMS) -> Talk:
    """Greet, name an envelope, send this after 354."""
    return talk(HELLO, ENVELOPE, body, terms=terms)


def cuts(data: bytes) -> Iterable[list[bytes]]:
    """Every way to cut it in two, and byte by byte."""
    for place in range(len(data) + 1):
        yield [data[:place], data[place:]]
    yield [data[place : place + 1] for place in range(len(data))]
