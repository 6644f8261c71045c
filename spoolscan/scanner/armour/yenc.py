"""yEnc (draft of 2002, yenc.org): one part of a file, or all of it, in eight bits.

Lines between ``=ybegin`` and ``=yend``; ``=`` escapes the next byte.  Sizes and checksums are not
believed: what stands there is decoded.  Parts of a file are blocks of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from spoolscan.scanner.armour import Block
from spoolscan.scanner.bounds import Budget, LimitReached

BEGIN: Final = re.compile(rb"(?<![^\r\n])=ybegin[ \t](?P<rest>[^\r\n]*)\r?\n?")
_PART: Final = re.compile(rb"=ypart[ \t][^\r\n]*\r?\n?")
_END: Final = re.compile(rb"(?<![^\r\n])=yend")
_NAME: Final = re.compile(rb"(?:^|[ \t])name=(.*)")
_ESCAPED: Final = re.compile(rb"(?s)=(.)")
_MOST_ESCAPES: Final = 1_000_000  # one byte in 60 is escaped in the mean
_SHIFT: Final = bytes((byte - 42) % 256 for byte in range(256))
_SHIFT_ESCAPED: Final = tuple(bytes([(byte - 64) % 256]) for byte in range(256))


def blocks(text: bytes, budget: Budget) -> Iterator[Block]:
    """Every block from ``=ybegin`` to ``=yend``, or to the next ``=ybegin``."""
    begin = BEGIN.search(text)
    while begin is not None:
        following = BEGIN.search(text, begin.end())
        stop = len(text) if following is None else following.start()
        part = _PART.match(text, begin.end())
        start = begin.end() if part is None else part.end()
        end = _END.search(text, start, stop)
        budget.take_part()
        name = _NAME.search(begin["rest"])
        data = decode(text[start : stop if end is None else end.start()], budget)
        yield Block(b"" if name is None else name[1].strip(), data, begin.start())
        begin = following


def decode(body: bytes, budget: Budget) -> bytes:
    """The lines between begin and end."""
    budget.take_bytes(len(body))
    text = body.translate(None, b"\r\n")
    if b"=" in text:
        if text.count(b"=") > _MOST_ESCAPES:
            raise LimitReached(f"yEnc with more than {_MOST_ESCAPES} escapes")
        text = _ESCAPED.sub(lambda escape: _SHIFT_ESCAPED[escape[1][0]], text)
    return text.translate(_SHIFT)
