"""The body of DATA: from what a peer sends to the canonical form that the spool stores.

Guarantees (RFC 5321 4.1.1.4, 4.5.2; against smuggling):

- the message ends at CR LF . CR LF and at nothing else, however the bytes are cut into segments;
- what comes out has CRLF line ends only, its dots are unstuffed, and it has no NUL;
- a bare CR, a NUL, and (unless told to normalise) a bare LF is a ``fault``.  A body at fault is
  read on to its true end, so that nothing inside it is ever taken for a command;
- no more than four bytes are held back between two calls.

Each block goes through a few searches at C speed; no line is looked at in Python.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

_END: Final = b"\r\n.\r\n"


class BareLF(Enum):
    """What to do with a line feed that has no carriage return before it."""

    REFUSE = "refuse"
    NORMALISE = "normalise"


class Dotted:
    """One message body under way.

    ``ended`` says that CR LF . CR LF was seen, ``rest`` then holds what followed it; ``fault`` is
    empty, or says in our words what makes the message unacceptable.
    """

    __slots__ = ("_bare_lf", "_held", "_skip", "ended", "fault", "rest")

    def __init__(self, bare_lf: BareLF) -> None:
        self._bare_lf = bare_lf
        # The CRLF that ended the DATA command is the line end before the first line: a dot right
        # after it is already special.  It is no part of the message.
        self._held = b"\r\n"
        self._skip = 2
        self.ended = False
        self.rest = b""
        self.fault = ""

    def feed(self, data: bytes) -> bytes:
        """Take the next segment, give what of the message is certain by now.

        Once at fault it gives nothing more.
        """
        text = self._held + data
        end = text.find(_END)
        if end >= 0:
            self.ended = True
            self.rest = text[end + len(_END) :]
            self._held = b""
            return self._canonical(text[: end + 2])
        keep = _undecided(text)
        self._held = text[len(text) - keep :]
        return self._canonical(text[: len(text) - keep])

    def _canonical(self, text: bytes) -> bytes:
        """Whole line ends only: a CRLF is never cut in two between calls."""
        if self.fault or not text:
            return b""
        text, self.fault = canonical(text, self._bare_lf)
        if self.fault:
            return b""
        text = text.replace(b"\r\n.", b"\r\n")
        skip, self._skip = self._skip, 0
        return text[skip:]


def canonical(text: bytes, bare_lf: BareLF) -> tuple[bytes, str]:
    """The text with CRLF line ends only, and "" or what makes it unacceptable.

    No CRLF may be cut at either end of it.
    """
    fault = ""
    pairs = text.count(b"\r\n")
    if b"\0" in text:
        fault = "NUL"
    elif text.count(b"\r") != pairs:
        fault = "bare CR"
    elif text.count(b"\n") != pairs:
        if bare_lf is BareLF.REFUSE:
            fault = "bare LF"
        else:
            text = text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return text, fault


def _undecided(text: bytes) -> int:
    """How many bytes at the end of the text mean different things by what follows them."""
    for length in range(len(_END) - 1, 0, -1):
        if text.endswith(_END[:length]):
            return length
    # A bare LF, too, makes the next byte the first of a line, whose dot was stuffed.
    return 1 if text.endswith(b"\n") else 0
