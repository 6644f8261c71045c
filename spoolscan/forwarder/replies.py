r"""Replies of an SMTP or LMTP server, read strictly and within bounds (RFC 5321 section 4.2).

`SUCCESS` is what each step of a conversation may be answered with; nothing else is a yes.

A reply is ``CODE-text CRLF`` any number of times, then ``CODE text CRLF``, all with one code.
Anything else raises Unreadable: a line that ends in a bare LF, a code that changes half-way, a
line over 4096 bytes, a reply over 64 KiB or 128 lines.  The caller closes the connection
then, for it can no longer know which reply belongs to which command.

The words of the peer are made printable ASCII here, at the door, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

LONGEST_LINE: Final = 4096  # bytes, CRLF included; RFC 5321 asks for 512
LONGEST_REPLY: Final = 65_536  # bytes of all its lines
MOST_LINES: Final = 128
_LONGEST_TEXT: Final = 500  # characters of it that are kept for a report or a log line

_CODE: Final = re.compile(rb"([2-5][0-5][0-9])([ -]|\Z)")
_ENHANCED: Final = re.compile(r"([245])\.\d{1,3}\.\d{1,3}(?= |\Z)")
_PRINTABLE: Final = bytes(
    byte if 32 <= byte < 127 else ord(" " if byte == ord("\t") else "?") for byte in range(256)
)


class Step(Enum):
    """What a reply answers."""

    GREETING = "the greeting"
    EHLO = "EHLO"
    HELO = "HELO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    XFORWARD = "XFORWARD"
    RSET = "RSET"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    BDAT = "BDAT"
    END = "the end of the message"
    QUIT = "QUIT"


SUCCESS: Final[Mapping[Step, frozenset[int]]] = MappingProxyType(
    {
        Step.GREETING: frozenset({220}),
        Step.EHLO: frozenset({250}),
        Step.HELO: frozenset({250}),
        Step.STARTTLS: frozenset({220}),
        Step.AUTH: frozenset({235, 334}),
        Step.XFORWARD: frozenset({250}),
        Step.RSET: frozenset({250}),
        Step.MAIL: frozenset({250}),
        Step.RCPT: frozenset({250, 251, 252}),
        Step.DATA: frozenset({354}),
        Step.BDAT: frozenset({250}),
        Step.END: frozenset({250}),
        Step.QUIT: frozenset({221}),
    }
)


class Unreadable(Exception):
    """Not a reply; the text says why, in our words."""


@dataclass(frozen=True, slots=True)
class Reply:
    """``lines`` are the texts after the codes, in printable ASCII."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it on one line, cut to a length: for reports and logs."""
        return f"{self.code} {' '.join(self.lines)}".strip()[:_LONGEST_TEXT]

    @property
    def status(self) -> str:
        """The RFC 3463 code it begins with, if that agrees with the reply's own; else "X.0.0"."""
        found = _ENHANCED.match(self.lines[0])
        if found is not None and int(found[1]) == self.code // 100:
            return found[0]
        return f"{self.code // 100}.0.0"


class ReplyReader:
    """Feed it what arrives; take whole replies out."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._code = b""
        self._lines: list[str] = []
        self._size = 0

    @property
    def is_empty(self) -> bool:
        """No byte of a reply is waiting."""
        return not self._buffer and not self._lines

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> Reply | None:
        """The next whole reply, None when more bytes are needed.  Raises Unreadable."""
        while (line := self._next_line()) is not None:
            found = _CODE.match(line)
            if found is None:
                raise Unreadable("a line that is no reply")
            if self._lines and found[1] != self._code:
                raise Unreadable("a reply whose lines disagree on the code")
            self._code = found[1]
            self._lines.append(line[4:].translate(_PRINTABLE).decode("ascii"))
            self._size += len(line)
            if self._size > LONGEST_REPLY or len(self._lines) > MOST_LINES:
                raise Unreadable("a reply without end")
            if found[2] != b"-":
                reply = Reply(int(self._code), tuple(self._lines))
                self._lines, self._size = [], 0
                return reply
        return None

    def _next_line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._searched)
        if (end if end >= 0 else len(self._buffer)) >= LONGEST_LINE:
            raise Unreadable(f"a line longer than {LONGEST_LINE} bytes")
        if end < 0:
            self._searched = len(self._buffer)
            return None
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        self._searched = 0
        if not line.endswith(b"\r\n") or line.count(b"\r") > 1 or b"\0" in line:
            raise Unreadable("a line that does not end in CRLF, or has a CR or NUL inside")
        return line[:-2]
