"""Fuzzing of the session without a socket: any bytes in any segments, and a driver of any mind.

An input is a conversation: segments bred from commands, pieces of them and noise, under terms drawn
for it, to a driver that says yes mostly.  What has to hold at its end is `_check`.  The same seed
and count give the same conversations.
"""

from __future__ import annotations

import random
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from fuzzing import Crash
from talk import TERMS

from spoolscan.receiver.dotted import BareLF
from spoolscan.receiver.events import (
    Chunk,
    Closed,
    DataStarts,
    Identify,
    NeedData,
    Question,
    StartTLS,
    State,
    Terms,
)
from spoolscan.receiver.reply import OK, Reply
from spoolscan.receiver.session import LINE_BYTES, Session

LONGEST = 5000  # bytes of a message
_SMALL = replace(TERMS, message_bytes=LONGEST, recipients=3, idle_commands=30)
ALL_TERMS = [
    replace(
        _SMALL, lmtp=lmtp, proxy=proxy, starttls=tls, auth=tls,
        bare_lf=BareLF.NORMALISE if proxy else BareLF.REFUSE,
    )
    for lmtp in (False, True)
    for proxy in (False, True)
    for tls in (False, True)
]  # fmt: skip
_NO = [Reply(code, f"{code // 100}.0.0", "no") for code in (421, 450, 452, 535, 554)]

_ENVELOPE = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<e@d.example>\r\n"
PIECES = [
    b"EHLO x.example\r\n", b"HELO x\r\n", b"LHLO x\r\n", b"STARTTLS\r\n", b"RSET\r\n", b"NOOP\r\n",
    b"QUIT\r\n", b"VRFY a\r\n", b"DATA\r\n", _ENVELOPE, _ENVELOPE + b"DATA\r\n",
    _ENVELOPE + b"BDAT 6 LAST\r\nabcd\r\n", b"BDAT 3\r\na\r\n", b"BDAT 0 LAST\r\n", b"BDAT 9\r\n",
    b"BDAT 99999999999999999999\r\n", b"MAIL FROM:<> SMTPUTF8 RET=HDRS ENVID=a+2Bb\r\n",
    b"MAIL FROM:<x@y.example> SIZE=9999 BODY=8BITMIME AUTH=<>\r\n",
    "RCPT TO:<ä@ö.example> NOTIFY=DELAY ORCPT=utf-8;ä@ö.example\r\n".encode(),
    b"RCPT TO:<@a,@b:c@d.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+40b\r\n",
    b"AUTH PLAIN AGEAYg==\r\n", b"AUTH LOGIN\r\n", b"YQ==\r\n", b"*\r\n", b"=\r\n",
    b"XCLIENT ADDR=192.0.2.1 NAME=[UNAVAILABLE] LOGIN=x\r\n", b"XFORWARD ADDR=IPV6:::1 HELO=y\r\n",
    b"Subject: x\r\nReceived: a\r\n\r\n..\r\nbody\r\n", b".\r\n", b"\r\n.\r\n", b"\r\n", b"\n",
    b"\r", b"\0", b".", b" ", b"<", b">", b"=", b'"', b"\\", b"\xff", b"\xe2\x80\xae",
    b"\xef\xbc\xa0", b"9" * 30, b"x" * 700, b"GET / HTTP/1.1",
]  # fmt: skip
_WEIGHTS = [12 if len(piece) > 2 and piece.endswith(b"\r\n") else 1 for piece in PIECES]


@dataclass
class Tally:
    """What came of the conversations so far."""

    inputs: int = 0
    messages: int = 0
    states: Counter[str] = field(default_factory=Counter)  # in which they ended
    crashes: dict[str, Crash] = field(default_factory=dict)


def rounds(count: int, seed: int, report: Callable[[Tally], None] = lambda _: None) -> Tally:
    """Try so many conversations; ``report`` hears of every thousand."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    tally = Tally()
    for number in range(count):
        terms = dice.choice(ALL_TERMS)
        segments = list(_segments(dice, terms))
        try:
            _converse(terms, segments, dice, tally)
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}"
            story = f"{traceback.format_exc()}{terms}\n{segments}"
            tally.crashes.setdefault(place, Crash("session", place, b"".join(segments), story))
        tally.inputs += 1
        if number % 1000 == 999:
            report(tally)
    report(tally)
    return tally


def _segments(dice: random.Random, terms: Terms) -> Iterator[bytes]:
    """Most are what a client might say at all, or the conversations would all end at once."""
    if dice.random() < 0.95:
        yield b"LHLO x\r\n" if terms.lmtp else dice.choice(PIECES[:2])
    for _ in range(dice.randrange(16)):
        text = b"".join(dice.choices(PIECES, _WEIGHTS, k=dice.choice((1, 1, 1, 1, 1, 2, 3))))
        if dice.random() < 0.05:
            place = dice.randrange(len(text))
            text = text[:place] + dice.randbytes(dice.randrange(3)) + text[place + 1 :]
        if dice.random() < 0.2:
            cut = dice.randrange(len(text) + 1)
            yield text[:cut]
            text = text[cut:]
        yield text


def _converse(terms: Terms, segments: list[bytes], dice: random.Random, tally: Tally) -> None:
    session = Session(terms, "TLSv1.3 X" if terms.starttls and dice.random() < 0.5 else "")
    session.greet()
    message = b""
    for segment in (b"", *segments):
        session.receive_data(segment)
        output = b""
        while not isinstance(event := session.next_event(), NeedData | Closed):
            match event:
                case DataStarts():
                    message = b""
                case Chunk(data):
                    message += data
                    tally.messages += 1
                    if dice.random() < 0.02:
                        session.refuse_message(_NO[1])
                case StartTLS():
                    output += session.take_output()
                    session.secured("TLSv1.3 X")
                case Identify():
                    session.terms = dice.choice(ALL_TERMS)
            if isinstance(event, Question):
                session.answer(OK if dice.random() < 0.93 else dice.choice(_NO))
        output += session.take_output()
        _check(session, message, output)
    tally.states[session.state.name] += 1


def _check(session: Session, message: bytes, output: bytes) -> None:
    assert session.state in State
    assert session.state is not State.TLS
    assert len(session._buffer) < LINE_BYTES
    assert len(message) <= LONGEST
    assert b"\0" not in message
    for line in output.split(b"\r\n"):
        assert len(line) <= 510
        assert line.translate(None, bytes(range(0x20, 0x7F))) == b""
