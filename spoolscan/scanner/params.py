"""Parameters of structured header fields: every value a mail client could read for a key.

There is no one grammar here that all programs share, so none is followed.  The key is looked for
wherever it stands (in quotes, behind a comma, inside another value), in the field as it is, without
its comments, without its backslashes and with its encoded words decoded; what follows is read
quoted, unquoted, to the semicolon, past it, and in pieces.  Segments of RFC 2231 are joined by
number, by appearance, with the first and the last of equal ones, and decoded as marked, all, none.

Guarantees: time linear in the field; all readings are counted against the budget; at most
``Bounds.parameters`` places and `LONGEST` bytes of each are read; a Doubt says where a limit was
met; an ordinary parameter has exactly one reading.
Never: raises; decodes charsets or encoded words in the values (that is `words`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import unquote_to_bytes

from spoolscan.scanner import words
from spoolscan.scanner.bounds import Budget, LimitReached
from spoolscan.verdict import Cause, Doubt

LONGEST = 4096  # bytes of one value; file systems take 255
_MOST_INSIDE = 8  # of the same key inside one value


@dataclass(frozen=True, slots=True)
class Value:
    """One reading: bytes, and the charset RFC 2231 gives them ("" for none)."""

    data: bytes
    charset: str = ""
    chief: bool = field(default=False, compare=False)  # what the plainest reader sees


@dataclass(frozen=True, slots=True)
class _Hit:
    key: bytes
    index: int | None  # of a segment; None for a parameter that is whole
    extended: bool  # marked as percent-encoded
    starred: bool
    values: tuple[bytes, ...]


BOUNDARY = re.compile(rb"(?i)(?<![a-z0-9_-])(boundary)([ \t\r\0\x0b\x0c\xa0\"'*0-9]{0,64})=")
NAME = re.compile(rb"(?i)(?<![a-z0-9_-])((?:file)?name)([ \t\r\0\x0b\x0c\xa0\"'*0-9]{0,64})=")
CHARSET = re.compile(rb"(?i)(?<![a-z0-9_-])(charset)([ \t\r\0\x0b\x0c\xa0\"'*0-9]{0,64})=")
_SUFFIX = re.compile(rb"\*([0-9]{1,9})?(\*)?\Z")
_SPACE = b" \t\r\n\0\x0b\x0c"
_AROUND_KEY = _SPACE + b"\xa0\"'"
_CONTROLS = bytes({*range(32), 127} - {9})
_SIMPLE = re.compile(
    rb'[ \t]*(?:"([^"\\]*)"|([^\s"\'\\();,=\0]+))[ \t]*(?=(?:;[^;=]+=|;?[ \t]*\Z))'
)
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)("?)', re.DOTALL)
_NO_PARAMETER = re.compile(rb";[^;=]*(?=;|\Z)")
_CHARSET = re.compile(rb"([^']{0,80})'[^']{0,80}'")
_COMMENT = re.compile(rb'("(?:[^"\\]|\\.)*"?)|\((?:[^()\\]|\\.)*\)', re.DOTALL)
_PLAIN_COMMENT = re.compile(rb"\((?:[^()\\]|\\.)*\)", re.DOTALL)
_COMMENT_DEPTH = 5
_MOST_COMMENTS = 20
_COSTLY = (b"=?", b"(")  # each takes as long as
_COST = 100  # that many bytes


def readings(
    fields: Sequence[bytes], key: re.Pattern[bytes], budget: Budget
) -> tuple[list[Value], list[Doubt]]:
    """Every value of the parameter (`BOUNDARY` or `NAME`) in the fields, likeliest first."""
    field = b"; ".join(fields)
    doubts: dict[Doubt, None] = {}
    found: dict[Value, None] = {}
    if field.count(b"(") > _MOST_COMMENTS:
        doubts[Doubt(Cause.LIMIT, f"more than {_MOST_COMMENTS} comments in a field")] = None
    try:
        budget.take_reading(len(field) + sum(map(field.count, _COSTLY)) * _COST)
        for number, spelling in enumerate(_spellings(field)):
            for value in _found(spelling, key, budget, doubts):
                found.setdefault(value if not number else replace(value, chief=False))
    except LimitReached as limit:
        doubts[Doubt(Cause.LIMIT, str(limit))] = None
    return list(found), list(doubts)


def _found(
    field: bytes, key: re.Pattern[bytes], budget: Budget, doubts: dict[Doubt, None]
) -> Iterable[Value]:
    """The readings of one spelling; the first of each place is what the plainest reader sees."""
    hits = _hits(field, key, budget, doubts)
    for name in dict.fromkeys(hit.key for hit in hits if hit.starred):
        joined = _joins([hit for hit in hits if hit.starred and hit.key == name])
        for count, value in enumerate(joined):
            budget.take_reading(len(value.data))
            yield replace(value, chief=not count)
    for hit in hits:
        for count, data in enumerate(() if hit.starred else hit.values):
            yield Value(data, "", not count)


def without_comments(field: bytes) -> bytes:
    """The field without its comments, nested to any sane depth; quoted strings hold none."""
    comment, instead = (_COMMENT, rb"\1") if b'"' in field else (_PLAIN_COMMENT, b"")
    for _ in range(_COMMENT_DEPTH):
        shorter = comment.sub(instead, field, count=_MOST_COMMENTS)
        if len(shorter) == len(field):
            break
        field = shorter
    return field


def unescape(value: bytes) -> bytes:
    """The value with each backslash giving way to what it escapes."""
    return b"\\".join(piece.replace(b"\\", b"") for piece in value.split(b"\\\\"))


def _spellings(field: bytes) -> Iterable[bytes]:
    """The field as it is, and in the ways its structure could be read differently."""
    spellings = {field: None}
    if b"(" in field:
        spellings[without_comments(field)] = None
    if b"\\" in field:
        spellings[unescape(field)] = None
    if field.translate(None, _CONTROLS) != field:
        spellings[field.translate(None, _CONTROLS)] = None
    if b"=?" in field:
        spellings[words.decode_words(field).encode("utf-8", "replace")] = None
    return spellings


def _hits(
    field: bytes, key: re.Pattern[bytes], budget: Budget, doubts: dict[Doubt, None]
) -> list[_Hit]:
    """The places where the key stands, and what stands behind it.  Raises LimitReached."""
    bounds = budget.bounds
    hits: list[_Hit] = []
    inside = end = 0
    too_many = field.count(b";") > bounds.parameters
    for match in key.finditer(field):
        inside = 0 if field.find(b";", end, match.start()) >= 0 else inside + 1
        end = match.end()
        if len(hits) == bounds.parameters or inside > _MOST_INSIDE:
            too_many = True
            break
        suffix = _SUFFIX.match(match[2].translate(None, _AROUND_KEY))
        index = int(suffix[1]) if suffix and suffix[1] else None
        extended = suffix is not None and (suffix[2] is not None or index is None)
        values, cut = _values(field, end)
        budget.take_reading(sum(map(len, values)) + (_COST if suffix else 0))
        if cut:
            doubts[Doubt(Cause.LIMIT, f"a parameter longer than {LONGEST} bytes")] = None
        hits.append(_Hit(match[1].lower(), index, extended, suffix is not None, values))
    if too_many:
        doubts[Doubt(Cause.LIMIT, f"more than {bounds.parameters} parameters")] = None
    return hits


def _values(field: bytes, start: int) -> tuple[tuple[bytes, ...], bool]:
    """Readings of what stands at the offset, and whether it is too long to be read whole."""
    simple = _SIMPLE.match(field, start, start + LONGEST)
    if simple and (simple.end() < start + LONGEST or simple.end() == len(field)):
        return (simple[2] if simple[1] is None else simple[1],), False
    whole = field[start : start + LONGEST]
    rest = whole.lstrip(_SPACE)
    found: list[bytes] = []
    if quoted := _QUOTED.match(rest):
        found += [unescape(quoted[1]), quoted[1], rest[1:].partition(b'"')[0]]
    segment, semicolon, _ = whole.partition(b";")
    for piece in dict.fromkeys((segment.lstrip(_SPACE), _past_semicolons(rest))):
        found += _unquoted(piece)
    if segment[:1] in (b" ", b"\t"):
        found.append(segment)
    return tuple(dict.fromkeys(found)), not semicolon and len(field) > start + LONGEST


def _past_semicolons(rest: bytes) -> bytes:
    """To the first semicolon that a parameter follows."""
    end = rest.find(b";")
    if end < 0:
        return rest
    while match := _NO_PARAMETER.match(rest, end):
        if not match[0][1:].strip():
            break
        end = match.end()
    return rest[:end]


def _unquoted(piece: bytes) -> list[bytes]:
    found = [piece.rstrip(_SPACE), piece]
    bare = found[0]
    found.append(bare.strip(b"'\"`"))
    if b"\\" in bare:
        found.append(unescape(bare))
    if b'"' in bare:
        found.append(bare.replace(b'"', b""))
        found += [part for part in bare.split(b'"') if part]
        found += [part for part in unescape(bare).split(b'"') if part]
        found += [part for part in bare.replace(b'\\"', b'"').split(b'"') if part]
    if b";" in bare:
        found.append(bare.translate(None, b'";\\'))
    found += bare.replace(b",", b" ").split(None, 1)[:1]
    if b"=" in bare:
        found.append(bare.partition(b"=")[0])
    return [value for value in found if value] or [b""]


def _joins(hits: list[_Hit]) -> Iterable[Value]:
    """RFC 2231 segments put together in every order a reader may take."""
    orders: list[list[_Hit]] = []
    segments = [hit for hit in hits if hit.index is not None]
    orders += [[hit] for hit in hits if hit.index is None]
    run: list[_Hit] = []
    for hit in segments:
        if hit.index != len(run):
            break
        run.append(hit)
    if segments:
        by_number = sorted(segments, key=lambda hit: hit.index or 0)
        first: dict[int | None, _Hit] = {}
        last: dict[int | None, _Hit] = {}
        for hit in by_number:
            first.setdefault(hit.index, hit)
            last[hit.index] = hit
        unbroken = [hit for number, hit in enumerate(first.values()) if hit.index == number]
        orders += [list(first.values()), list(last.values()), unbroken, run, by_number, segments]
        orders += [segments[:1], segments[-1:]]
    found: dict[Value, None] = {}
    for order in orders:
        if order:
            found.update(dict.fromkeys(_decoded(order)))
    return found


def _decoded(order: list[_Hit]) -> Iterable[Value]:
    marked = b"".join(
        unquote_to_bytes(hit.values[0]) if hit.extended else hit.values[0] for hit in order
    )
    plain = b"".join(hit.values[0] for hit in order)
    for joined in dict.fromkeys((marked, unquote_to_bytes(plain), plain)):
        if stated := _CHARSET.match(joined):
            charset = stated[1].decode("latin-1").strip(" \"'")
            yield Value(joined[stated.end() :].strip(b'"'), charset)
            if order[0].extended:
                continue
        elif order[0].extended and b"'" in joined:
            yield Value(joined.partition(b"'")[2])
        yield Value(joined)
    if len(order) == 1:
        for value in order[0].values[1:]:
            yield Value(value)
