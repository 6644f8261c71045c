"""Every reading of a base64 body (RFC 2045 section 6.8) that some mail client makes.

Well-formed base64 has one reading and costs one call of binascii.  Decoders differ on everything
else: what is not of the alphabet (junk to skip, the end of the line, or a line to leave out), the
URL-safe letters of RFC 4648 section 5, what padding means (the end, a new beginning, or nothing),
and whether letters left over at the end of a line count.  Each of these gives a reading of its own,
and those with the same result are one.

Guarantees: linear time; each reading is counted against the budget before it is made.  Fails only
with LimitReached; bytes that hold no base64 read as b"".
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from spoolscan.scanner.bounds import Budget, LimitReached

_LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BLANKS: Final = b" \t\r\n\x0b\x0c"
_OTHERS: Final = bytes(sorted(set(range(256)) - set(_LETTERS)))
_JUNK: Final = bytes(sorted(set(_OTHERS) - {ord("=")}))
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")

_PIECE: Final = re.compile(rb"[A-Za-z0-9+/]{2,}+")
_MOST_LINES: Final = 500_000  # some 38 MB in lines of the usual length
_FILL: Final = (b"", b"AAA", b"AA", b"A")  # makes whole quads of what is left over
_MOST_PIECES: Final = 200_000  # more than 10 MB of base64 that is padded line by line has
_FROM_JUNK_ON: Final = re.compile(rb"[^A-Za-z0-9+/=\s][^\n]*")
_LINE_WITH_JUNK: Final = re.compile(rb"(?m)^[A-Za-z0-9+/= \t]*+[^A-Za-z0-9+/=\s][^\n]*")
_WHOLE_QUADS: Final = re.compile(rb"(?m)^(?:[A-Za-z0-9+/=]{4})++")
_ARMOUR_LINE: Final = re.compile(rb"(?m)^begin-base64[ \t][^\n]*\n")
_ARMOUR_END: Final = re.compile(rb"(?m)^====")


def readings(body: bytes, budget: Budget) -> Iterator[tuple[bytes, str]]:
    """Each distinct result with the way it was read, the likeliest first.  Raises LimitReached."""
    budget.take_bytes(len(body) * 3 // 4)
    try:
        yield binascii.a2b_base64(body.translate(None, _BLANKS), strict_mode=True), "base64"
    except binascii.Error:
        yield from _distinct(body, budget)


def _distinct(body: bytes, budget: Budget) -> Iterator[tuple[bytes, str]]:
    seen: set[bytes] = set()
    for text, how in _variants(body):
        data = _decode(text, budget)
        if data not in seen:
            seen.add(data)
            yield data, how


def _variants(body: bytes) -> Iterator[tuple[bytes, str]]:
    """The letters each way of reading leaves; padding among them ends a piece."""
    body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if body.count(b"\n") > _MOST_LINES:
        raise LimitReached(f"broken base64 of more than {_MOST_LINES} lines")
    letters = body.translate(None, _JUNK)
    yield letters, "base64"
    if b"=" in letters.rstrip(b"="):
        yield letters.partition(b"=")[0], "base64 (stops at padding)"
        yield letters.replace(b"=", b""), "base64 (padding ignored)"
    if b"-" in body or b"_" in body:
        yield body.translate(_URL_SAFE).translate(None, _JUNK), "base64 (URL-safe letters)"
    armoured = _ARMOUR_LINE.split(body, 1)
    if len(armoured) == 2:
        inside = _ARMOUR_END.split(armoured[1], 1)[0]
        yield inside.translate(None, _JUNK), "base64 (begin-base64)"
    if body.translate(None, _LETTERS + b"=" + _BLANKS):
        up_to_junk = _FROM_JUNK_ON.sub(b"", body).translate(None, _JUNK)
        yield up_to_junk.partition(b"=")[0], "base64 (lines end at junk)"
        lines = _LINE_WITH_JUNK.sub(b"", body).translate(None, _JUNK)
        yield lines.partition(b"=")[0], "base64 (lines with junk left out)"
    whole_quads = b"".join(_WHOLE_QUADS.findall(body))
    yield whole_quads, "base64 (whole quads of each line)"
    yield whole_quads.partition(b"=")[0], "base64 (whole quads, stops at padding)"


def _decode(text: bytes, budget: Budget) -> bytes:
    """What is left over of a piece, at padding or at the end, is padded.  Raises LimitReached."""
    budget.take_bytes(len(text) * 3 // 4)
    if b"=" not in text.rstrip(b"="):
        return _piece(text.rstrip(b"="))
    if text.count(b"=") > 2 * _MOST_PIECES:
        raise LimitReached(f"base64 in more than {_MOST_PIECES} pieces")
    return _pieces(_PIECE.findall(text))


def _pieces(pieces: list[bytes]) -> bytes:
    """Runs of letters one after the other, by one call for all: it is the calls that cost."""
    whole = binascii.a2b_base64(b"".join([it + _FILL[len(it) % 4] for it in pieces]))
    starts = accumulate([(len(it) + 3) // 4 * 3 for it in pieces], initial=0)
    # The last start, one more than there are pieces, is the end.
    found = zip(starts, pieces, strict=False)
    return b"".join([whole[at : at + len(piece) * 3 // 4] for at, piece in found])


def _piece(letters: bytes) -> bytes:
    """One run of letters without padding.  A single letter left over holds no byte."""
    return binascii.a2b_base64(letters + _FILL[len(letters) % 4])[: len(letters) * 3 // 4]
