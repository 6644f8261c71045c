"""Transfer encodings undone (RFC 2045 section 6): every reading some mail client makes of a body.

The words of a Content-Transfer-Encoding are matched loosely, as clients do.  A strict and a lenient
reading with different results are both given, the likeliest first; a body that is base64 all
through is decoded whatever its header says.  A body that is decoded twice over is not: what comes
out is read again by its content.

Guarantees: linear time; all that is made is counted against the budget; well-formed bodies cost
one call of binascii.  Fails only with LimitReached; an encoding nobody knows is a doubt where the
body is not plain text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from spoolscan.scanner import base64, quoted
from spoolscan.scanner.armour import binhex, uu, yenc
from spoolscan.scanner.bounds import Budget
from spoolscan.scanner.content import is_plain_text
from spoolscan.verdict import Cause, Doubt

_Readings = Callable[[bytes, Budget], Iterator[tuple[bytes, str]]]


@dataclass(frozen=True, slots=True)
class Decoded:
    """One reading of a body; ``how`` is for people ("base64 (stops at padding)")."""

    data: bytes
    how: str


def transfer(
    body: bytes, encodings: Sequence[str], budget: Budget
) -> tuple[list[Decoded], list[Doubt]]:
    """Every reading of ``body`` under every one of ``encodings``; at least one.

    ``encodings`` are the words of the header, or headers, in lower case; none means 7bit.
    Raises LimitReached.
    """
    found: dict[bytes, str] = {}
    doubts: list[Doubt] = []
    for encoding in encodings or ("7bit",):
        reader = _reader(encoding)
        if reader is None:
            if not is_plain_text(body):
                doubts.append(Doubt(Cause.UNREADABLE, "unknown transfer encoding"))
            reader = _as_it_stands
        for data, how in reader(body, budget):
            found.setdefault(data, how)
    return [Decoded(data, how) for data, how in found.items()], doubts


def _as_it_stands(body: bytes, budget: Budget) -> Iterator[tuple[bytes, str]]:
    yield body, "as it stands"
    if _looks_like_base64(body):
        for data, how in base64.readings(body, budget):
            yield data, f"{how}, undeclared"


def _base64(body: bytes, budget: Budget) -> Iterator[tuple[bytes, str]]:
    """A client that finds it cannot be base64 shows it as it stands."""
    yield from base64.readings(body, budget)
    if body.translate(None, _BASE64_BYTES):
        yield body, "as it stands"


def _uuencode(body: bytes, budget: Budget) -> Iterator[tuple[bytes, str]]:
    """What stands after ``begin``; without one, all lines."""
    block = next(uu.blocks(body, budget), None)
    if block is None:
        yield uu.decode(body, budget), "uuencode"
    else:
        yield block.data, "uuencode"
    yield body, "as it stands"


def _yenc(body: bytes, budget: Budget) -> Iterator[tuple[bytes, str]]:
    block = next(yenc.blocks(body, budget), None)
    yield yenc.decode(body, budget) if block is None else block.data, "yEnc"
    yield body, "as it stands"


def _binhex(body: bytes, budget: Budget) -> Iterator[tuple[bytes, str]]:
    """What stands after the line that tells of BinHex; without one, all of it."""
    text = body if binhex.BEGIN.search(body) else binhex.HEAD + body
    for block in binhex.blocks(text, budget):
        yield block.data, "BinHex"
    yield body, "as it stands"


_BASE64_START: Final = re.compile(rb"\s*+[A-Za-z0-9+/_=-]{20}")
_BASE64_BYTES: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_= \t\r\n"

# Looser words come after stricter ones: "x-gzip64" is base64 of what unpacks by its content.
_READERS: Final[tuple[tuple[re.Pattern[str], _Readings], ...]] = (
    (re.compile(r"base.?64|\b64|gzip64"), _base64),
    (re.compile(r"quoted|printable|^x?-?qp$"), quoted.readings),
    (re.compile(r"uue|uuc|^(?:x-)?uu$"), _uuencode),
    (re.compile(r"yenc"), _yenc),
    (re.compile(r"binhex|hqx"), _binhex),
    (re.compile(r"^$|^[78].?bits?$|^binary$|^8bitmime$|^none$|^identity$|^plain"), _as_it_stands),
    (re.compile(r"^(?:us-)?ascii$|^utf-?(?:8|16)|^iso-|^windows-|^text"), _as_it_stands),
)


def _reader(encoding: str) -> _Readings | None:
    word = encoding.strip().strip("\"'").lower()
    return next((reader for pattern, reader in _READERS if pattern.search(word)), None)


def _looks_like_base64(body: bytes) -> bool:
    """Whether nothing but base64 stands here, and more of it than any word has letters."""
    return _BASE64_START.match(body) is not None and not body.translate(None, _BASE64_BYTES)
