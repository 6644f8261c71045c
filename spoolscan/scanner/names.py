"""Names of parts and archive members in every reading, and the lines patterns are matched against.

A reading is a name that some client could show or save the part under: each value `params` finds
for ``filename`` and ``name``, each text `words` makes of it, and what Windows and file choosers
leave of that: no path, nothing behind NUL or a colon (``a.exe::$DATA``), no trailing dots and
spaces, no invisible or bidirectional characters, fullwidth letters and odd dots made plain.

Only where a part has no such name do Content-Description, Content-Location and Content-ID count,
and the subject of the message a part carries; and only where a client would offer it for saving.

Guarantees: linear time, a bounded number of bounded lines, never raises.
How it fails: LIMIT where a name is too long or has too many readings; AMBIGUOUS where names of one
part end differently, or a control turns the order of the letters round.
Never: says whether a name is bad; that is for `patterns`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, unquote_to_bytes

from spoolscan.scanner import declared, params, words
from spoolscan.scanner.bounds import Budget, LimitReached
from spoolscan.scanner.headers import Header, unfolded
from spoolscan.verdict import Cause, Doubt


@dataclass(frozen=True, slots=True)
class Names:
    """``readings``: every distinct name, likeliest first; ``lines``: what patterns are matched
    against, without line ends inside; ``doubts``: why there may be more."""

    readings: tuple[str, ...]
    lines: tuple[bytes, ...]
    doubts: tuple[Doubt, ...]


_LONGEST = 512  # characters of a name; a longer one is read at its head and its tail
_MOST = 512  # readings of one part's names
_WORD_COSTS = 100  # bytes that an encoded word is like, in time
_FORMS_COST = 300  # and the forms of a name

# Nothing in such a name can be read or written differently.
_ORDINARY = re.compile(r"[A-Za-z0-9_+-](?:[A-Za-z0-9 _.,()+-]*[A-Za-z0-9_)+-])?\Z")
_DOTS = re.compile("[\u3002\ufe12\uff0e\uff61\ufe52\u2024\u0701\u0702\u06d4]")
# Controls, and what Unicode says is to be ignored by default (Default_Ignorable_Code_Point).
_UNSEEN = re.compile(
    "[\0-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4"
    "\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
_EDGES = " \t\r\n\0\"'`<>\u00a0\u3000"
_ENDING = re.compile(r"\.([A-Za-z0-9]{1,10})\W*\Z")
_NAMED_FILE = re.compile(rb"\.[A-Za-z0-9]{1,10}\W*\Z")
_LINE_ENDS = re.compile(r"[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+")
_FORBIDDEN = re.compile(r'[<>:"|?*]')  # in names on Windows; some leave them out
_SPACED_DOT = re.compile(r"[ \t]?\.[ \t]")  # where a header was folded inside a name
_PATH = re.compile(r"[/\\]")


def of_part(headers: Sequence[Header], budget: Budget, carried: Sequence[Header] = ()) -> Names:
    """The names of a part with these fields, and of the message it carries, if it does."""
    doubts: dict[Doubt, None] = {}
    readings: dict[str, None] = {}
    chief: list[str] = []
    for field in ("content-disposition", "content-type"):
        fields = declared.values(headers, field)
        if not fields:
            continue
        found, limits = params.readings(fields, params.NAME, budget)
        doubts.update(dict.fromkeys(limits))
        for value in found:
            texts = _texts(value.data, budget, doubts, value.charset)
            readings.update(dict.fromkeys(texts))
            if value.chief:
                chief += texts[:1]
    types = declared.media_types(headers)
    if not any(readings):
        for data, ending in _other_names(headers, types, carried):
            texts = _texts(data.strip()[:_LONGEST], budget, doubts)
            readings.update(dict.fromkeys(text + ending for text in texts))
    if len({ending for name in chief for ending in _ending(name)}) > 1:
        doubts[Doubt(Cause.AMBIGUOUS, "names of one part that end differently")] = None
    names = _forms(readings, doubts, budget)
    lines = _lines(names)
    lines.update((f"content-type: {kind}".encode("utf-8", "replace"), None) for kind in types)
    for header in headers:
        raw = header.raw
        lines[raw if raw.find(b"\n") < 0 and raw.find(b"\r") < 0 else unfolded(raw)] = None
    return Names(tuple(names), tuple(lines), tuple(doubts))


def of_member(name: str | bytes, budget: Budget) -> Names:
    """The names of an archive member, or of what uuencode, BinHex, yEnc or TNEF call a file."""
    doubts: dict[Doubt, None] = {}
    texts = _texts(name, budget, doubts) if isinstance(name, bytes) else [name]
    names = _forms(texts, doubts, budget)
    return Names(tuple(names), tuple(_lines(names)), tuple(doubts))


def _texts(data: bytes, budget: Budget, doubts: dict[Doubt, None], charset: str = "") -> list[str]:
    """What `words` makes of it; none where the message has had its share of readings."""
    try:
        budget.take_reading(len(data) + _WORD_COSTS * data.count(b"=?"))
    except LimitReached as limit:
        doubts[Doubt(Cause.LIMIT, str(limit))] = None
        return []
    return words.readings(data, charset)


def _ending(name: str) -> list[str]:
    match = _ENDING.search(name[-64:])
    return [match[1].lower()] if match else []


def _other_names(
    headers: Sequence[Header], types: Sequence[str], carried: Sequence[Header]
) -> Iterable[tuple[bytes, str]]:
    """Names a client falls back on for a part it offers to save, and the ending it adds."""
    shown = all(kind.startswith(("text/", "multipart/")) for kind in types)
    disposition = b"".join(declared.values(headers, "content-disposition")).lstrip()
    if shown and not disposition.lower().startswith(b"attach"):
        return
    for value in declared.values(carried, "subject"):
        yield value, ".eml"
    for value in declared.values(headers, "content-description"):
        yield value, ""
    for value in declared.values(headers, "content-location"):
        location = value.strip()[:_LONGEST]
        path = location.partition(b"://")[2].partition(b"/")[2] if b"://" in location else location
        path = re.split(rb"[?#]", path, maxsplit=1)[0].rstrip(b"/")
        if path:
            yield unquote_to_bytes(path.rpartition(b"/")[2]), ""
    for value in declared.values(headers, "content-id"):
        name = value.strip()[:_LONGEST].strip(b"<>").partition(b"@")[0]
        if _NAMED_FILE.search(name[-64:]):
            yield name, ""


def _forms(texts: Iterable[str], doubts: dict[Doubt, None], budget: Budget) -> dict[str, None]:
    """The names as they stand, then what else a client or file system makes of them."""
    names: dict[str, None] = {}
    for text in texts:
        name = text
        if len(name) > _LONGEST:
            name = name[: _LONGEST // 2] + name[-(_LONGEST // 2) :]
            doubts[Doubt(Cause.LIMIT, f"a name longer than {_LONGEST} characters")] = None
        if _TURNING.search(name):
            doubts[Doubt(Cause.DECEPTIVE, "a name whose letters change their order")] = None
        if name:
            names[name] = None
        if len(names) > _MOST:
            doubts[Doubt(Cause.LIMIT, f"more than {_MOST} readings of a name")] = None
            break
    try:
        budget.check_time()
        for name in list(names):
            if ". " in name or not _ORDINARY.match(name):
                budget.take_reading(_FORMS_COST + 4 * len(name))
                names.update(dict.fromkeys(_saved_as(name)))
    except LimitReached as limit:
        doubts[Doubt(Cause.LIMIT, str(limit))] = None
    return names


def _saved_as(name: str) -> Iterable[str]:
    """Other names the same file gets, none of them empty."""
    found: list[str] = []
    starts = [name, name.partition("\0")[0]] if "\0" in name else [name]
    if "%" in name:
        starts.append(unquote(name))
    for start in starts:
        plain = _plain(start)
        found += [start.strip(_EDGES), plain]
        if len(plain) < len(start):
            found.append(_plain(start, " "))
        base = _PATH.split(plain.rstrip("/\\"))[-1] or plain
        found.append(_PATH.split(plain.rstrip("/\\. "))[-1])
        found += [base, base.rstrip(". "), base.strip(_EDGES).rstrip(". ")]
        if ":" in base:
            found += [piece.rstrip(". ") for piece in base.split(":")[:2]]
        found += [_FORBIDDEN.sub("", base), _SPACED_DOT.sub(".", base).strip(". ")]
    return [form for form in dict.fromkeys(found) if form]


def _plain(name: str, instead: str = "") -> str:
    """Without what cannot be seen, or something instead, in the letters it looks like."""
    if name.isascii():
        if name.isprintable():
            return name
        folded = name
    else:
        folded = unicodedata.normalize("NFKC", _DOTS.sub(".", name))
    return _UNSEEN.sub(instead, folded)


def _lines(names: Iterable[str]) -> dict[bytes, None]:
    lines: dict[bytes, None] = {}
    for name in names:
        line = _LINE_ENDS.sub(" ", name)
        for spelling in dict.fromkeys((line, line.casefold())):
            data = spelling.encode("utf-8", "replace")
            lines[b"filename=" + data] = None
            lines[b'filename="' + data + b'"'] = None
    return lines
