"""Every reading of a quoted-printable body (RFC 2045 section 6.7) that some mail client makes.

A well-formed body has one reading and costs one call of binascii.  Decoders differ on blanks
before a line end (transport padding, to be cut, also after a soft break), on bare carriage
returns, on lower-case digits, and on an ``=`` that no digits follow: kept as it stands, or dropped
with what stands in the place of the digits.

Guarantees: linear time; at most four readings, counted against the budget.  Never fails.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from typing import Final

import re2

from spoolscan.scanner.bounds import Budget, LimitReached

_LATIN1: Final = re2.Options()
_LATIN1.encoding = re2.Options.Encoding.LATIN1
_UNUSUAL: Final = re2.compile(
    rb"=[^0-9A-F\r\n]|=[0-9A-F][^0-9A-F]|=[0-9A-F]?\z|[ \t][\r\n]|\r[^\n]|\r\z", _LATIN1
)
_LONELY_EQUALS: Final = re.compile(rb"=(?![0-9A-Fa-f]{2}|\n)[0-9A-Fa-f]?")
_MOST_ESCAPES: Final = 200_000
_PIECE: Final = 1 << 16
_NOT_UPPER_CASE: Final = re.compile(rb"=(?:[0-9A-F]?[a-f]|[0-9A-F](?![0-9A-F]))")


def is_well_formed(body: bytes) -> bool:
    """Whether every decoder reads it alike."""
    return _UNUSUAL.search(body) is None


def readings(body: bytes, budget: Budget) -> Iterator[tuple[bytes, str]]:
    """Each distinct result with the way it was read, the likeliest first.  Raises LimitReached."""
    budget.take_bytes(len(body))
    first = binascii.a2b_qp(body)
    yield first, "quoted-printable"
    if is_well_formed(body):
        return
    seen = {first}
    text = _trimmed(body)
    for variant, how in (
        (text, "quoted-printable (blanks at line ends cut)"),
        (_without(_LONELY_EQUALS, text), "quoted-printable (bad escapes dropped)"),
        (_without(_NOT_UPPER_CASE, text), "quoted-printable (upper case only)"),
    ):
        budget.take_bytes(len(variant))
        data = binascii.a2b_qp(variant)
        if data not in seen:
            seen.add(data)
            yield data, how


def _without(bad: re.Pattern[bytes], text: bytes) -> bytes:
    """Raises LimitReached where there are so many that it would take long."""
    text, count = bad.subn(b"", text, count=_MOST_ESCAPES)
    if count == _MOST_ESCAPES:
        raise LimitReached(f"more than {count} broken quoted-printable escapes")
    return text


def _trimmed(body: bytes) -> bytes:
    """Every line end a line feed, and no blanks before one."""
    body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b" \n" not in body and b"\t\n" not in body:
        return body
    pieces: list[bytes] = []
    start = 0
    while start < len(body):  # a list of all lines at once takes thirty times their bytes
        end = body.find(b"\n", start + _PIECE)
        end = len(body) if end < 0 else end
        pieces.append(b"\n".join([line.rstrip(b" \t") for line in body[start:end].split(b"\n")]))
        start = end + 1
    return b"\n".join(pieces) + (b"\n" if body.endswith(b"\n") and start == len(body) else b"")
