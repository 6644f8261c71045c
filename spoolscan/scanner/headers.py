"""The header of a message or part: where it ends, and the fields in it, in every reading.

A field is what stands before the first empty line; a line that starts with white space continues
the field above.  Senders who want two programs to disagree break every one of these words, so:

- a name keeps no comment, control character, NUL or space (``Content-Type(x) :`` is Content-Type);
- a doubled colon is one; a ``Content-`` field that has lost its colon has one;
- a ``Content-`` field hidden in a fold, or behind a bare CR, is a field as well;
- a header that is broken off by a line which is no field, or by one of white space, may have ended
  there: `Block.early` says where.

Guarantees: linear time; never raises; no more fields than the bounds, and then a Doubt.
Never: decodes a value, or decides which of two equal fields counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

from spoolscan.scanner.bounds import Bounds
from spoolscan.verdict import Cause, Doubt


@dataclass(frozen=True, slots=True)
class Header:
    """One field: ``name`` in lower case, ``raw`` as it stands, ``value`` unfolded."""

    name: str
    raw: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Block:
    """One header: its fields, the offset of the body, and where the body may begin as well."""

    headers: tuple[Header, ...]
    body: int
    early: int | None = None
    doubts: tuple[Doubt, ...] = ()


# One line end, an optional CR, another line end: each LF starts at most one scan over CRs.
_EMPTY_LINE = re.compile(rb"\n\r*\n")
_FIELD_END = re.compile(rb"\n(?![ \t])")
_FIELD_END_CR = re.compile(rb"\r(?![ \t])")
_NAMED = re.compile(rb"[ \t]*[!-9;-~][^:\r\n]{0,200}:")
_FIRST_NAMED = re.compile(rb"(?:\xef\xbb\xbf)?[ \t]{0,80}[!-9;-~\0\x0b\x0c]{1,200}[ \t]{0,80}:")
_WHITE_LINE = re.compile(rb"\n[ \t]+\r*(\n|\Z)")
_NAME_COMMENT = re.compile(rb"\([^()]*\)?")
_NOT_IN_NAME = re.compile(rb"[^!-9;-~]+")
_LOST_COLON = re.compile(
    rb"(?i)[ \t]*(content-(?:type|disposition|transfer-encoding))[ \t=;]+(.*)", re.DOTALL
)
_CONTENT_LINE = re.compile(rb"(?i)\n[ \t]*content-(?:type|disposition|transfer-encoding)[ \t]*:")
# The value must look like one, for DKIM signatures list the names of fields with colons.
_HIDDEN = re.compile(
    rb"(?i)[\r\n\0\x0b\x0c][ \t\r\0]*(content-type(?=[ \t:]+[^\s:;,=]{0,80}/)|content-disposition"
    rb"(?=[ \t:]+(?:attachment|inline|[^\n]{0,200}name))|content-transfer-encoding"
    rb"(?=[ \t:]+\S{0,20}(?:base|quot|uu|bin|[78]bit)))[ \t]*:+([^\r\n]*)"
)
_CONTENT = b"content-"
_BLANKS = (b" ", b"\t")
_FIELD_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9-]{0,76}:")


def unfolded(data: bytes) -> bytes:
    """The bytes without line ends."""
    return data.replace(b"\r", b"").replace(b"\n", b"")


def starts_like_header(data: bytes, start: int, end: int) -> bool:
    """Whether a field stands at the offset."""
    return _FIRST_NAMED.match(data, start, end) is not None


def goes_on(data: bytes, start: int, end: int) -> bool:
    """Whether there are only more fields behind a line of white space, which RFC 5322 once allowed,
    and none that says what the body is."""
    lines = data[start:end].replace(b"\r", b"").rstrip(b"\n").split(b"\n")
    ordinary = all(line[:1] in _BLANKS or _FIELD_NAME.match(line) for line in lines)
    return ordinary and _CONTENT not in data[start:end].lower()


def read(data: bytes, start: int, end: int, bounds: Bounds) -> Block:
    """The header that begins at ``start``; its body ends at ``end``."""
    start = _skip_envelope(data, start, end)
    if data.startswith((b"\n", b"\r\n"), start):
        return Block((), start + (1 if data[start] == 10 else 2))
    stop, body = _end(data, start, end)
    if not starts_like_header(data, start, end) and not _broken_at_once(data, start, stop):
        return Block((), start)
    limits: list[Doubt] = []
    if stop - start > bounds.header_bytes:
        stop = start + bounds.header_bytes
        limits.append(Doubt(Cause.LIMIT, f"more than {bounds.header_bytes} bytes of header"))
    block = data[start:stop].rstrip(b"\r")
    separator = _FIELD_END if b"\n" in block else _FIELD_END_CR
    fields = separator.split(block, bounds.headers)
    if len(fields) > bounds.headers:
        limits.append(Doubt(Cause.LIMIT, f"more than {bounds.headers} header fields"))
        fields.pop()
    bare = block.count(b"\r") > block.count(b"\r\n")
    headers, broken = _fields(fields, bare=bare)
    _add_hidden(block, headers)
    early = None if broken is None else start + _offset(block, separator, *broken)
    return Block(tuple(headers), body, early, tuple(limits))


def _broken_at_once(data: bytes, start: int, stop: int) -> bool:
    """Whether a line that is no field comes first, and Content- fields all the same."""
    if data.startswith(b"--", start):
        return False
    return bool(_LOST_COLON.match(data, start, stop) or _CONTENT_LINE.search(data, start, stop))


def _skip_envelope(data: bytes, start: int, end: int) -> int:
    """Past the ``From `` line of an mbox file, and its escaped form."""
    while data.startswith((b"From ", b">From "), start):
        stop = data.find(b"\n", start, end)
        if stop < 0:
            break
        start = stop + 1
    return start


def _end(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Offsets of the end of the fields and of the body."""
    match = _EMPTY_LINE.search(data, start, end)
    limit = match.start() if match else end
    bare = data.find(b"\r\r", start, limit)
    if bare >= 0 and data.find(b"\n", start, bare) < 0:
        return bare, bare + 2
    return (limit, match.end()) if match else (end, end)


def _fields(fields: list[bytes], *, bare: bool) -> tuple[list[Header], tuple[int, int] | None]:
    """The fields, and where they break off: index of the line and offset in it."""
    headers: list[Header] = []
    broken: tuple[int, int] | None = None
    for index, line in enumerate(fields):
        raw = line.rstrip(b"\r")
        name, colon, value = raw.partition(b":")
        if not name.replace(b"-", b"").isalnum():
            if broken is None and not (colon and _NAMED.match(raw)):
                broken = index, 0
            name, value = _odd(raw, name, value if colon else None)
        # `find`, for `in` is several times slower, and this is where an ordinary mail's time goes.
        if raw.find(b"\n") >= 0:
            if broken is None and (white := _WHITE_LINE.search(raw)):
                broken = (index, white.end()) if white[1] else (index + 1, 0)
            value = unfolded(value)
        if bare:
            value = unfolded(value)
        if value[:1] == b":":
            value = value.lstrip(b":")
        headers.append(Header(name.decode("ascii", "replace").lower(), raw, value))
    return headers, broken


def _offset(block: bytes, separator: re.Pattern[bytes], index: int, inside: int) -> int:
    """Offset in the block of a place in its field of that index."""
    if index == 0:
        return inside
    match = next(islice(separator.finditer(block), index - 1, None), None)
    return len(block) if match is None else match.end() + inside


def _odd(raw: bytes, name: bytes, value: bytes | None) -> tuple[bytes, bytes]:
    """Name and value of a line whose name is not just a name."""
    if lost := _LOST_COLON.match(raw):
        return lost[1], lost[2]
    if value is None:
        return b"", raw
    return _NOT_IN_NAME.sub(b"", _NAME_COMMENT.sub(b"", name)), value


def _add_hidden(block: bytes, headers: list[Header]) -> None:
    """Add the Content- fields that only some readers see: inside folds, behind a bare CR or NUL."""
    seen = sum(header.name.startswith("content-") for header in headers)
    if block.lower().count(_CONTENT) <= seen:
        return
    known = {header.raw.lstrip()[:200] for header in headers}
    for match in _HIDDEN.finditer(block):
        raw = match[0].strip(b"\r\n\0\x0b\x0c \t")
        if raw[:200] not in known:
            known.add(raw[:200])
            headers.append(Header(match[1].decode("ascii").lower(), raw, match[2]))
