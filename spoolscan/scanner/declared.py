"""What a header declares of its body: media types, transfer encodings and boundaries, all readings.

Guarantees: linear time, never raises, ordinary fields have exactly one reading, and the likeliest
comes first.  Never: looks at the body; which reading is true is seen there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from spoolscan.scanner import params, words
from spoolscan.scanner.bounds import Budget
from spoolscan.scanner.headers import Header
from spoolscan.verdict import Doubt

IDENTITY = frozenset(("7bit", "8bit", "binary"))  # RFC 2045, section 6.2: nothing to decode

_LONGEST = 4096  # bytes of a field looked at; types and encodings stand at its beginning
_TYPE = re.compile(rb"[ \t]*([A-Za-z0-9.+_-]+/[A-Za-z0-9.+_-]+)[ \t]*(?:;|\Z)")
_LOOSE_TYPE = re.compile(rb"[\s\"';,]*([^\s;,/\"']{1,100})(?:[\s\"]*/[\s\"]*([^\s;,\"']{0,100}))?")
_TOKEN = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SPECIAL = re.compile(rb"[\\(\"'=]")
_ALIKE = (
    (re.compile(r"base[^a-z0-9]?64|b64|ba?s?e?64\Z"), "base64"),
    (re.compile(r"quot|print|\Aqp\Z"), "quoted-printable"),
    (re.compile(r"uue|\A(?:x-)?uu\Z|uuenc"), "x-uuencode"),
    (re.compile(r"yenc"), "x-yenc"),
    (re.compile(r"binhex|hqx"), "binhex"),
)
KNOWN = frozenset(name for _, name in _ALIKE)  # those there is a decoder for


def values(headers: Sequence[Header], name: str) -> list[bytes]:
    """The values of the fields of that name, in order."""
    return [header.value for header in headers if header.name == name]


def media_types(headers: Sequence[Header]) -> tuple[str, ...]:
    """Every type/subtype the Content-Type fields can be read as, lower case."""
    found: dict[str, None] = {}
    for value in values(headers, "content-type"):
        if match := _TYPE.match(value):
            found[match[1].decode("ascii").lower()] = None
            continue
        for spelling in _spellings(value[:_LONGEST]):
            if match := _LOOSE_TYPE.match(spelling):
                kind, subtype = match[1], match[2] or b""
                found[f"{_lower(kind)}/{_lower(subtype)}"] = None
    return tuple(found)


def encodings(headers: Sequence[Header]) -> tuple[str, ...]:
    """Every encoding the Content-Transfer-Encoding fields can be read as, lower case.

    A misspelt name comes after the right one: ``x-uue`` gives ("x-uuencode", "x-uue").
    """
    found: dict[str, None] = {}
    for value in values(headers, "content-transfer-encoding"):
        for spelling in _spellings(value[:_LONGEST]):
            text = _lower(spelling).strip(" \t\r\0\"';,")
            for pattern, name in _ALIKE:
                if pattern.search(text):
                    found[name] = None
            found.update(dict.fromkeys(_TOKEN.findall(text)[:8]))
    return tuple(found)


def boundaries(headers: Sequence[Header], budget: Budget) -> tuple[list[bytes], list[Doubt]]:
    """Every boundary a client could look for, without the dashes before it."""
    fields = values(headers, "content-type")
    if not fields:
        return [], []
    found: dict[bytes, None] = {}
    readings, doubts = params.readings(fields, params.BOUNDARY, budget)
    for reading in readings:
        for data in _as_bytes(reading):
            found[data.rstrip()] = None
            found[data.strip()] = None
            if b"\0" in data:
                found[data.replace(b"\0", b"").strip()] = None
                found[data.partition(b"\0")[0].strip()] = None
    return list(found), doubts


def recoded(headers: Sequence[Header], data: bytes, budget: Budget) -> list[bytes]:
    """A text part's content as UTF-8, where a charset it declares hides ASCII; else nothing.

    Raises LimitReached.
    """
    fields = values(headers, "content-type")
    found: dict[bytes, None] = {}
    for reading in params.readings(fields, params.CHARSET, budget)[0] if fields else ():
        for text in words.recoded(data, reading.data.decode("latin-1").strip()):
            budget.take_bytes(len(text))
            found[text] = None
    return list(found)


def _as_bytes(reading: params.Value) -> Iterable[bytes]:
    if not reading.charset and b"=?" not in reading.data:
        return (reading.data,)
    texts = words.readings(reading.data, reading.charset)
    return [reading.data, *(text.encode("utf-8", "replace") for text in texts)]


def _spellings(value: bytes) -> Iterable[bytes]:
    if not _SPECIAL.search(value):
        return (value,)
    spellings = {value: None}
    if b"(" in value:
        spellings[params.without_comments(value)] = None
    if b"\\" in value:
        spellings[value.replace(b"\\", b"")] = None
    if b"=?" in value:
        spellings[words.decode_words(value).encode("utf-8", "replace")] = None
    return spellings


def _lower(value: bytes) -> str:
    return value.decode("latin-1").lower()
