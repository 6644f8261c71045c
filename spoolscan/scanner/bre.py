r"""One pattern of GNU grep's basic syntax -> the same pattern in RE2's.

`translate` reads the bytes as ``LC_ALL=C grep -G`` (3.8, and every later one where they agree)
reads them, and gives an expression for RE2 that is to be compiled with ``latin-1`` encoding and
searched, multi-line, in lines joined by LF.

Guarantees: the expression selects exactly the lines grep selects.  Where that cannot be had, the
answer is an exception with a remedy, never an expression that differs:

- `Invalid`: grep refuses the pattern too.
- `Unsupported`: grep takes it and we do not.  Back-references (no linear matcher has them);
  ``[. .]`` and ``[= =]`` (for one of these grep hands all patterns of the file to its second
  matcher, which does not find all that the first one finds); a repetition of a bare anchor, ``$)``,
  ``$|`` and ``---`` in brackets, which grep's two matchers or its versions read differently;
  ``\<`` and ``\>`` where neither neighbour settles on which side the word is; groups nested deeper
  than 50, more than five repetitions of one thing.

What is repeated too often for RE2 is found by compiling, not here.

Sources: POSIX 9.3; gnulib's dfa.c (which selects lines) and glibc's regcomp.c (which refuses
patterns), whose readings the code follows; tests/grepfuzz.py holds it all against grep.
"""

from __future__ import annotations

import string
from typing import Final

from spoolscan.scanner.expression import (
    ALL,
    OPEN,
    WORD,
    Anchor,
    BadPattern,
    Bytes,
    Choice,
    Node,
    Repeat,
    Sequence,
    Unsupported,
    byte_set,
)

__all__ = ["BadPattern", "Invalid", "Unsupported", "translate"]

_DEEPEST: Final = 50  # groups; bounds the recursion here and in RE2
_STACKED: Final = 5  # repetitions of one thing; the same
_DUP_MAX: Final = 0x7FFF  # RE_DUP_MAX of glibc
_ENDS: Final = (rb"\|", rb"\)")  # of a branch
_REPETITIONS: Final = (b"*", rb"\+", rb"\?", rb"\{")
_SINGLE: Final = tuple(Bytes(1 << byte) for byte in range(256))
_UNMATCHED_BRACKET: Final = "Unmatched [, [^, [:, [., or [=; write [[] for a bracket itself"


def _named(characters: str) -> int:
    return byte_set(characters.encode("ascii"))


_CLASSES: Final = {
    b"alpha": _named(string.ascii_letters),
    b"upper": _named(string.ascii_uppercase),
    b"lower": _named(string.ascii_lowercase),
    b"digit": _named(string.digits),
    b"xdigit": _named(string.hexdigits),
    b"space": byte_set(b" \t\n\v\f\r"),
    b"punct": _named(string.punctuation),
    b"alnum": _named(string.ascii_letters + string.digits),
    b"print": byte_set(range(0x20, 0x7F)),
    b"graph": byte_set(range(0x21, 0x7F)),
    b"cntrl": byte_set([*range(0x20), 0x7F]),
    b"blank": byte_set(b" \t"),
}
_ESCAPED_SETS: Final = {
    ord("w"): WORD,
    ord("W"): ALL & ~WORD,
    ord("s"): _CLASSES[b"space"],
    ord("S"): ALL & ~_CLASSES[b"space"],
}


class Invalid(BadPattern):
    """Grep refuses it too."""


def translate(pattern: bytes) -> bytes:
    """The RE2 expression for one pattern (one line, without its line end).

    Raises Invalid or Unsupported.  Linear in the length of the pattern.
    """
    return _Parser(pattern).whole().emit(OPEN, OPEN)


class _Parser:
    """Recursive descent over one pattern; ``at`` is the next byte to read."""

    def __init__(self, pattern: bytes) -> None:
        self.pattern = pattern
        self.at = 0
        self.depth = 0

    def whole(self) -> Node:
        found = self.choice()
        if self.at < len(self.pattern):
            raise Invalid(r"Unmatched ) or \); begin the group with \(, or write ) for itself")
        return found

    def sees(self, token: bytes) -> bool:
        return self.pattern.startswith(token, self.at)

    def takes(self, token: bytes) -> bool:
        if self.sees(token):
            self.at += len(token)
            return True
        return False

    def choice(self) -> Node:
        branches = [self.branch()]
        while self.takes(rb"\|"):
            branches.append(self.branch())
        return branches[0] if len(branches) == 1 else Choice.of(branches)

    def branch(self) -> Node:
        items: list[Node] = [Anchor("^")] if self.takes(b"^") else []
        start = True  # nothing yet that could be repeated: repetitions stand for themselves
        while self.at < len(self.pattern) and not self.pattern.startswith(_ENDS, self.at):
            item = self.atom()
            bare = isinstance(item, Anchor)
            start = start and bare
            if not start:
                item = self.repeated(item, bare)
            items.append(item)
        return items[0] if len(items) == 1 else Sequence.of(items)

    def atom(self) -> Node:
        byte = self.pattern[self.at]
        self.at += 1
        match chr(byte):
            case "\\":
                return self.escape()
            case "[":
                return Bytes(self.bracket())
            case ".":
                return Bytes(ALL)
            case "$" if self.at == len(self.pattern) or self.sees(rb"\)") or self.sees(rb"\|"):
                return Anchor("$")
            case "$" if self.sees(b")") or self.sees(b"|"):
                raise Unsupported("$ before ) or |, which grep reads in two ways; write [$]")
            case _:
                return _SINGLE[byte]

    def escape(self) -> Node:
        if self.at == len(self.pattern):
            raise Invalid(r"Trailing backslash; write \\ for a backslash")
        byte = self.pattern[self.at]
        self.at += 1
        match chr(byte):
            case "(":
                return self.group()
            case "`":
                return Anchor("^")
            case "'":
                return Anchor("$")
            case "b" | "B" | "<" | ">" as kind:
                return Anchor(kind)
            case digit if digit in "123456789":
                raise Unsupported(
                    rf"back-reference \{digit}, which no linear matcher has;"
                    " write out the alternatives it stands for"
                )
            case _:
                return Bytes(_ESCAPED_SETS.get(byte, 1 << byte))

    def group(self) -> Node:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise Unsupported(f"groups nested deeper than {_DEEPEST}; use fewer")
        found = self.choice()
        if not self.takes(rb"\)"):
            raise Invalid(r"Unmatched ( or \(; end the group with \), or write ( for itself")
        self.depth -= 1
        # An anchor alone in a group is an ordinary thing, and may be repeated.
        return Sequence.of([found]) if isinstance(found, Anchor) else found

    def repeated(self, item: Node, bare: bool) -> Node:
        if not self.pattern.startswith(_REPETITIONS, self.at):
            return item  # as nearly always
        for _ in range(_STACKED + 1):
            if self.takes(b"*"):
                least, most = 0, None
            elif self.takes(rb"\+"):
                least, most = 1, None
            elif self.takes(rb"\?"):
                least, most = 0, 1
            elif self.takes(rb"\{"):
                least, most = self.interval()
            else:
                return item
            if bare:
                raise Unsupported(
                    "an anchor repeated, which grep reads in two ways;"
                    " put the anchor into a group, or the repetition into brackets"
                )
            item = Repeat(item, least, most)
        raise Unsupported(f"more than {_STACKED} repetitions of one thing; write one")

    def interval(self) -> tuple[int, int | None]:
        r"""What stands between ``\{`` and ``\}``."""
        end = self.pattern.find(rb"\}", self.at)
        if end < 0:
            raise Invalid(r"Unmatched \{; end it with \}, or write { for itself")
        low, comma, high = self.pattern[self.at : end].partition(b",")
        self.at = end + 2
        least = _number(low) if low or not comma else 0
        most = _number(high) if high else None if comma else least
        if least is None or (high and most is None) or (most is not None and most < least):
            raise Invalid(r"Invalid content of \{\}; write \{2\}, \{2,\}, \{,5\} or \{2,5\}")
        if max(least, most or 0) > _DUP_MAX:
            raise Invalid(f"Regular expression too big; repeat at most {_DUP_MAX} times")
        return least, most

    def bracket(self) -> int:
        """The set of a bracket expression, of which ``[`` is read."""
        inverted = self.takes(b"^")
        begin = self.at
        members, plain = 0, True  # plain: neither classes nor ranges
        while self.at == begin or not self.sees(b"]"):
            if self.sees(b"-") and self.at != begin and not self.sees(b"-]"):
                raise Invalid("Invalid range end; write a - for itself last, just before ]")
            low, single = self.element()
            ranges = single and self.sees(b"-") and not self.sees(b"-]")
            plain = plain and single and not ranges
            members |= self.range_from(low) if ranges else low
        body = self.pattern[begin : self.at]
        self.at += 1
        if b"---" in body:
            raise Unsupported("--- in brackets, which greps read in two ways; write one - last")
        if plain and body[:1] == body[-1:] == b":" and body.strip(b":"):
            raise Invalid("character class syntax is [[:space:]], not [:space:]")
        return ALL & ~members if inverted else members

    def element(self) -> tuple[int, bool]:
        """The set of one element, and whether it is a single character."""
        if self.at == len(self.pattern):
            raise Invalid(_UNMATCHED_BRACKET)
        if self.sees(b"[.") or self.sees(b"[="):
            raise Unsupported(
                "[. .] or [= =], for which grep reads the whole file another way;"
                " write the character itself: ] first, ^ not first, - last"
            )
        if not self.sees(b"[:"):
            self.at += 1
            return 1 << self.pattern[self.at - 1], True
        end = self.pattern.find(b":]", self.at + 2)
        if end < 0:
            raise Invalid(_UNMATCHED_BRACKET)
        name = self.pattern[self.at + 2 : end]
        if name not in _CLASSES:
            raise Invalid("Invalid character class name; write [[:alpha:]], [[:digit:]], ...")
        self.at = end + 2
        return _CLASSES[name], False

    def range_from(self, low: int) -> int:
        """The set from ``low`` to the element behind the hyphen that is next."""
        self.at += 1
        high, single = self.element()
        if not single or high < low:
            raise Invalid("Invalid range end; write two single characters, the lower one first")
        return (high << 1) - low


def _number(digits: bytes) -> int | None:
    """Of an interval: None where it is no number; what is too big is one more than the limit."""
    if not digits.isdigit():
        return None
    significant = digits.lstrip(b"0")
    return int(significant or b"0") if len(significant) <= 5 else _DUP_MAX + 1
