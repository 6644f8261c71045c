"""Lines that separate parts: those of a given boundary, and those no header declares.

Guarantees: linear time, a bounded number of results (and it is said when there were more), never
raises.  Never: reads a header or decides which line counts; that is `mime`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

WHITE = b" \t\r\n\0\x0b\x0c"

_LINE_ENDS = re.compile(rb"[\r\n]*")
_OPENING = rb"([ \t\0]{0,8}--[^\r\n]*)[\r\n]+(?=[ \t]*[!-9;-~]{1,80}[ \t]*:)"
# Each begins with one letter, which is searched for fast; most content has neither.
_ANY = tuple(re.compile(sign) for sign in (rb"\n(?:[ \t\0]{0,8}--|From )", rb"\r[ \t\0]{0,8}--"))
_UNDECLARED = tuple(re.compile(line_end + _OPENING) for line_end in (b"\n", b"\r"))
_UNDECLARED_FIRST = re.compile(_OPENING)
_NEXT_MESSAGE = re.compile(rb"\n\r?\n()(?=From [^\r\n]*\r?\n[!-9;-~]{1,80}[ \t]*:)")


@dataclass(frozen=True, slots=True)
class Line:
    """A delimiter: where what is before it ends, where what is behind it begins."""

    start: int
    next: int
    closes: bool


@dataclass(slots=True)
class Lines:
    """Lines that are the boundary, lines that only begin with it, and whether there were more."""

    exact: list[Line] = field(default_factory=list)
    prefix: list[Line] = field(default_factory=list)
    cut: bool = False


def find(data: bytes, boundary: bytes, start: int, end: int, most: int, *, bare: bool) -> Lines:
    """The delimiter lines of a boundary, in order; ``bare`` to let them begin behind a bare CR."""
    needle = b"--" + boundary
    places = [start] if data.startswith(needle, start, end) else []
    found = Lines()
    for line_end in (b"\n", b"\r") if bare else (b"\n",):
        sign = line_end + needle
        at = data.find(sign, max(start - 1, 0), end)
        while at >= 0 and not found.cut:
            if at >= start:
                places.append(at + 1)
            at = data.find(sign, at + len(sign) - 1, end)
            found.cut = len(places) > most
    if bare:
        places.sort()
    for at in places:
        tail, following = _rest(data, at + len(needle), end)
        before = at
        if before > start and data[before - 1] == ord("\n"):
            before -= 1
        if before > start and data[before - 1] == ord("\r"):
            before -= 1
        kind = found.exact if tail in (b"", b"--") else found.prefix
        kind.append(Line(before, following, tail.endswith(b"--")))
    return found


def _rest(data: bytes, at: int, end: int) -> tuple[bytes, int]:
    """What stands on the line behind the boundary, and where the next line begins."""
    stop = data.find(b"\n", at, end)
    stop = end if stop < 0 else stop + 1
    tail, carriage, more = data[at:stop].partition(b"\r")
    if more.strip(WHITE):
        stop = at + len(tail) + len(carriage)
    return tail.strip(WHITE), stop


def behind_empty_lines(data: bytes, start: int, end: int) -> int:
    """Offset of the first line at or behind the offset that is not empty."""
    match = _LINE_ENDS.match(data, start, end)
    return match.end() if match else start


def undeclared(data: bytes, start: int, end: int, most: int) -> list[tuple[int, int]]:
    """Offsets of what a line of dashes, or an mbox line, with a field below it opens, and its end.

    One ends where its own delimiter comes again, or the next begins.  At most one more than
    ``most`` of them.
    """
    behind = max(start - 1, 0)
    if data.find(b"-", behind, end) < 0 and data.find(b" ", behind, end) < 0:
        return []  # as in base64: neither dashes nor an mbox line, told by the fastest search
    found: dict[int, bytes] = {}  # where it begins: the line end and the delimiter that ends it
    if start == 0 and (first := _UNDECLARED_FIRST.match(data)):
        found[first.end()] = b"\n" + first[1].rstrip(WHITE)
    for line_end, sign, opening in zip((b"\n", b"\r"), _ANY, _UNDECLARED, strict=True):
        if not sign.search(data, behind, end):
            continue
        for pattern in (opening, _NEXT_MESSAGE):
            for match in pattern.finditer(data, behind, end):
                found[match.end()] = line_end + match[1].rstrip(WHITE) if match[1] else b""
                if len(found) > most:
                    break
    if not found:
        return []
    places = sorted(found)[: most + 1]
    pairs: list[tuple[int, int]] = []
    for place, limit in zip(places, [*places[1:], end], strict=True):
        stop = data.find(found[place], place, limit) if found[place] else -1
        pairs.append((place, limit if stop < 0 else stop))
    return pairs
