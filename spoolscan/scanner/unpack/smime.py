"""S/MIME (RFC 8551, CMS of RFC 5652): what a signature is wrapped around, and what is encrypted.

An opaque-signed message (``smime.p7m``) holds a whole MIME part that clients open without a word:
it is a member.  Compressed data likewise.  Enveloped and encrypted data, and PGP messages, are for
their reader alone: SEALED.

The encoding is BER: lengths may be indefinite and strings in pieces.  It is read iteratively, by
offset, and only as far as the content; what does not fit is UNREADABLE.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterator
from typing import Final

from spoolscan.scanner.bounds import Budget, LimitReached
from spoolscan.scanner.unpack.seam import Member
from spoolscan.verdict import Cause, Doubt

_PKCS7: Final = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07"
_SMIME: Final = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01"
_SIGNED: Final = (_PKCS7 + b"\x02", _SMIME + b"\x09")  # signed data; compressed data
_SEALED: Final = (_PKCS7 + b"\x03", _PKCS7 + b"\x06", _PKCS7 + b"\x04", _SMIME + b"\x17")
_PGP: Final = b"-----BEGIN PGP MESSAGE-----"
_ARMOUR: Final = re.compile(rb"-----BEGIN (?:PKCS7|CMS)-----\s([A-Za-z0-9+/=\s]+)-----END")
_OBJECT, _OCTETS, _PIECES, _CONTENT = 0x06, 0x04, 0x24, 0xA0
_MOST_PIECES: Final = 100_000


class _Odd(Exception):
    """Not BER, or cut."""


class Smime:
    """See the module."""

    @property
    def name(self) -> str:
        return "S/MIME"

    def recognises(self, data: bytes) -> bool:
        head = data[:64]
        if head[:1] == b"\x30":
            return _PKCS7 in head or _SMIME in head
        return b"-----BEGIN P" in data[:1024] or b"-----BEGIN CMS" in data[:1024]

    def members(self, data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
        if data[:1] != b"\x30":
            if _PGP in data[:1024]:
                yield Doubt(Cause.SEALED, "a PGP message")
            found = _ARMOUR.search(data)
            if found is None:
                return
            budget.take_bytes(len(found[1]))
            try:
                data = base64.b64decode(found[1])
            except binascii.Error:
                yield Doubt(Cause.UNREADABLE, "CMS armour is broken")
                return
        try:
            yield from _content(data, budget)
        except _Odd:
            yield Doubt(Cause.UNREADABLE, "S/MIME content is not well-formed")


def _content(data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
    """ContentInfo: a sequence of the kind of content and the content."""
    start, _ = _into(data, 0, 0x30)
    kind, start = _object(data, start)
    if kind in _SEALED:
        yield Doubt(Cause.SEALED, "an encrypted S/MIME message")
    elif kind in _SIGNED:
        octets = _octets(data, *_inner(data, start), budget)
        if octets:
            budget.take_part()
            if kind == _SIGNED[1]:
                octets = _inflated(octets, budget)
            yield Member("", octets)


def _inner(data: bytes, start: int) -> tuple[int, int | None]:
    """Where the inner kind (EncapsulatedContentInfo) ends, and where all of it does."""
    start, _ = _into(data, start, _CONTENT)
    start, _ = _into(data, start, 0x30)
    start = _behind(data, _behind(data, start))  # the version, and the algorithms
    start, end = _into(data, start, 0x30)
    return _object(data, start)[1], end


def _octets(data: bytes, start: int, end: int | None, budget: Budget) -> bytes:
    """The string in the content's tag, its pieces put together; b"" for a detached signature."""
    if start == end or data[start : start + 1] != b"\xa0":  # behind it come certificates, in A0 too
        return b""
    start, _ = _into(data, start, _CONTENT)
    tag, length, inside = _head(data, start)
    if tag == _OCTETS and length is not None:
        budget.take_bytes(length)
        return data[inside : inside + length]
    if tag != _PIECES:
        raise _Odd
    stop = len(data) if length is None else inside + length
    pieces: list[bytes] = []
    while inside < stop and data[inside : inside + 2] != b"\0\0":
        tag, length, inside = _head(data, inside)
        if tag != _OCTETS or length is None:
            raise _Odd
        budget.take_bytes(length)
        pieces.append(data[inside : inside + length])
        inside += length
        if len(pieces) > _MOST_PIECES:
            raise LimitReached(f"more than {_MOST_PIECES} pieces of S/MIME content")
    return b"".join(pieces)


def _inflated(octets: bytes, budget: Budget) -> bytes:
    reader = zlib.decompressobj()
    try:
        data = reader.decompress(octets, budget.bounds.decoded_bytes - budget.decoded + 1)
    except zlib.error as error:
        raise _Odd from error
    budget.take_bytes(len(data))
    return data


def _head(data: bytes, start: int) -> tuple[int, int | None, int]:
    """Tag, length (None: indefinite), and where the content begins."""
    if start + 2 > len(data):
        raise _Odd
    tag, length = data[start], data[start + 1]
    start += 2
    if length == 0x80:
        return tag, None, start
    if length > 0x80:
        size = length & 0x7F
        if size > 8 or start + size > len(data):
            raise _Odd
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    return tag, length, start


def _into(data: bytes, start: int, wanted: int) -> tuple[int, int | None]:
    """Where the content of the wanted tag begins, and where it ends if that is said."""
    tag, length, inside = _head(data, start)
    if tag != wanted:
        raise _Odd
    return inside, None if length is None else inside + length


def _behind(data: bytes, start: int) -> int:
    _, length, inside = _head(data, start)
    if length is None:
        raise _Odd
    return inside + length


def _object(data: bytes, start: int) -> tuple[bytes, int]:
    """An object identifier's bytes, and where it ends."""
    tag, length, inside = _head(data, start)
    if tag != _OBJECT or length is None:
        raise _Odd
    return data[inside : inside + length], inside + length
