"""The objects of a PDF file (ISO 32000-1, 7.3): read wherever they stand, whatever tables say.

A value is a `Name`, bytes (a string), a list, a dict by name, an integer, a bool, a `Reference`, or
None for what is none of these.  Names are given with each ``#xx`` put into its letter.  What
is broken gives what came before the break.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import re2

from spoolscan.scanner.bounds import LimitReached

Value = Any

_LATIN1: Final = re2.Options()
_LATIN1.encoding = re2.Options.Encoding.LATIN1
# Comments may stand between all words, and make this pattern one for RE2, which never looks back.
_APART_BY: Final = rb"(?:[\s\x00\x0b]|%[^\r\n]*[\r\n])+"
_OBJECT: Final = re2.compile(rb"([0-9]+)" + _APART_BY + rb"([0-9]+)" + _APART_BY + rb"obj", _LATIN1)
_TRAILER: Final = re.compile(rb"trailer(?=[\s\0]*<<)")
_TOKEN: Final = re.compile(
    rb"(?:[\s\0]++|%[^\r\n]*+)*+"
    rb"(<<|>>|[\[\]({})]|<[0-9A-Fa-f\s\0]*>|/[^\s\0()<>\[\]{}/%]*|[^\s\0()<>\[\]{}/%]+|.)",
    re.DOTALL,
)
_GAP: Final = re.compile(rb"(?:[\s\0]++|%[^\r\n]*+)*+")
_REFERENCE: Final = re.compile(_GAP.pattern + rb"(\d{1,20}+)" + _GAP.pattern + rb"R(?![A-Za-z])")
_NUMBER: Final = re.compile(rb"[+-][0-9]{1,10}")
_WORDS: Final = {b"true": True, b"false": False}
_IN_STRING: Final = re.compile(rb"[()\\]")
_ESCAPE: Final = re.compile(rb"\\(?:([0-7]{1,3})|(\r\n|[\s\S]))")
_HASH: Final = re.compile(rb"#([0-9A-Fa-f]{2})")
_STREAM: Final = re.compile(_GAP.pattern + rb"stream(?:\r\n|\n|\r)?")
_APART: Final = 256  # bytes at most between a dict and the word "stream"
_LETTERS: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}
_LONGEST: Final = 1 << 20  # bytes of one object, its stream apart
_DEEPEST: Final = 64
_TIMES: Final = 8  # how often all bytes may be read, where objects lie in one another
_FREELY: Final = 200_000  # words of one file that are read whatever they are about
_MOST_WORDS: Final = 600_000
# What is read beyond that: streams, whatever acts or leads to what acts, and what may hide it.
_KEYS: Final = re.compile(
    rb"stream|[#\\%]|/(?:EF|EmbeddedFile|Filespec|JS|JavaScript|OpenAction|AA|Launch|RichMedia|XFA"
    rb"|SubmitForm|ImportData|GoTo[ER]|Encrypt|Root)(?![A-Za-z])"
)


# What makes a stream be a file, a script or other bytes.
_DECISIVE: Final = frozenset(
    ("EF", "JS", "S", "XFA", "Filter", "DecodeParms", "F", "DP", "Predictor", "Columns", "Encrypt")
)


class Name(str):
    """``/Name``, without the slash."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Reference:
    """``number generation R``."""

    number: int
    generation: int


@dataclass(frozen=True, slots=True)
class Object:
    """One object; ``stream`` is where its stream begins, or None.  A trailer has the number -1."""

    number: int
    generation: int
    value: Value
    stream: int | None = None


@dataclass(slots=True)
class Tally:
    """The words of one file that were read; whether all could be, in only one way."""

    words: int = 0
    doubtful: bool = False

    def take(self) -> None:
        """Raises LimitReached."""
        self.words += 1
        if self.words > _MOST_WORDS:
            raise LimitReached(f"PDF with more than {_MOST_WORDS} words that matter")

    def passes_over(self, data: bytes, start: int, stop: int) -> bool:
        """Whether an object between two offsets is one of too many, and of none that matter."""
        if self.words < _FREELY or stop - start > _LONGEST:
            return False
        balanced = data.count(b"(", start, stop) == data.count(b")", start, stop)
        return balanced and _KEYS.search(data, start, stop) is None


def objects(data: bytes, tally: Tally) -> Iterator[Object]:
    """Objects and trailers in ``data``, in order.  Raises LimitReached where they overlap."""
    work = 0
    for pattern in (_OBJECT, _TRAILER):
        following = pattern.finditer(data)
        next(following, None)
        for found in pattern.finditer(data):
            behind = next(following, None)
            stop = len(data) if behind is None else behind.start()
            if data[found.end() : found.end() + 1].isalpha():
                continue
            if tally.passes_over(data, found.end(), stop):
                continue
            value, end = value_at(data, found.end(), tally)
            work += end - found.end()
            if work > _TIMES * len(data):
                raise LimitReached("PDF objects that lie in one another")
            number, generation = map(_number, found.groups() or (b"-1", b"0"))
            stream = None
            if isinstance(value, dict):
                stream = _STREAM.match(data, end, end + _APART)
                gap = _GAP.match(data, end, end + _APART)
                tally.doubtful |= gap is not None and gap.end() == end + _APART
            yield Object(number, generation, value, stream.end() if stream else None)


def _number(digits: bytes) -> int:
    """However many noughts stand before it; one that is too long for any reader is 0."""
    digits = digits.lstrip(b"0") or b"0"
    return int(digits) if len(digits) <= 10 else 0


def value_at(data: bytes, at: int, tally: Tally) -> tuple[Value, int]:
    """The value that begins at ``at``, and the offset behind it.  Raises LimitReached."""
    stop = at + _LONGEST
    open_lists: list[list[Value]] = [[]]
    kinds: list[bytes] = []
    while at < stop:
        found = _TOKEN.match(data, at, stop)
        if found is None:
            at = min(stop, len(data))
            break
        token, at = found[1], found.end()
        tally.take()
        if token in {b"<<", b"["}:
            kinds.append(token)
            open_lists.append([])
            if len(kinds) > _DEEPEST:
                tally.doubtful = True
                break
            continue
        if token in {b">>", b"]"}:
            if not kinds:
                break
            _close(kinds, open_lists, tally)
        elif token in {b"endobj", b"stream", b"obj"}:
            at = found.start()
            break
        else:
            value, at = _atom(data, token, at)
            open_lists[-1].append(value)
        if not kinds:
            break
    tally.doubtful |= bool(kinds) and at >= stop
    while kinds:
        _close(kinds, open_lists, tally)
    return (open_lists[0][0] if open_lists[0] else None), at


def _close(kinds: list[bytes], open_lists: list[list[Value]], tally: Tally) -> None:
    items = open_lists.pop()
    if kinds.pop() == b"[":
        open_lists[-1].append(items)
        return
    found: dict[str, Value] = {}
    key: str | None = None
    for item in items:
        if key is None:
            key = str(item) if isinstance(item, Name) else None
        else:
            # Some readers take the first of two, others the last.
            tally.doubtful |= found.setdefault(key, item) != item and key in _DECISIVE
            key = None
    open_lists[-1].append(found)


def _atom(data: bytes, token: bytes, at: int) -> tuple[Value, int]:
    """What is neither list nor dict; ``at`` stands behind the token."""
    if token == b"(":
        return _string(data, at)
    if token[:1] == b"/":
        letters = _HASH.sub(lambda two: bytes([int(two[1], 16)]), token[1:])
        return Name(letters.decode("latin-1")), at
    if token[:1] == b"<" and len(token) > 1:
        digits = re.sub(rb"[^0-9A-Fa-f]", b"", token)
        return bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode()), at
    if token.isdigit():
        reference = _REFERENCE.match(data, at)
        if reference is not None:
            return Reference(_number(token), _number(reference[1])), reference.end()
        return _number(token), at
    return int(token) if _NUMBER.fullmatch(token) else _WORDS.get(token), at


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    """A literal string (7.3.4.2); ``at`` stands behind its first bracket."""
    start, depth, stop = at, 1, at + _LONGEST
    while depth and (found := _IN_STRING.search(data, at, stop)) is not None:
        at = found.end() + (found[0] == b"\\")
        depth += {b"(": 1, b")": -1}.get(found[0], 0)
    raw = data[start : at - 1 if not depth else stop]
    return _ESCAPE.sub(_unescaped, raw), at if not depth else min(stop, len(data))


def _unescaped(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return bytes([int(found[1], 8) & 0xFF])
    return b"" if found[2] in {b"\r\n", b"\n", b"\r"} else _LETTERS.get(found[2], found[2])


def written(value: Value) -> bytes:
    """A value as text again, its names in plain letters; bounded as `value_at` bounds it."""
    if isinstance(value, dict):
        pairs = (b"/%s %s" % (_letters(key), written(item)) for key, item in value.items())
        return b"<< " + b" ".join(pairs) + b" >>"
    if isinstance(value, list):
        return b"[ " + b" ".join(map(written, value)) + b" ]"
    if isinstance(value, Name):
        return b"/" + _letters(value)
    if isinstance(value, bytes):
        return b"(" + re.sub(rb"([()\\])", rb"\\\1", value) + b")"
    if isinstance(value, Reference):
        return b"%d %d R" % (value.number, value.generation)
    return b"null" if value is None else b"%d" % value


def _letters(name: str) -> bytes:
    return name.encode("latin-1", "replace")


def dicts(value: Value) -> Iterator[dict[str, Value]]:
    """Every dict in a value, itself one of them where it is one."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
