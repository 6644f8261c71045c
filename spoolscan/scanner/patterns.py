r"""A pattern file such as etc/matches.bad, read exactly as ``LC_ALL=C grep -f FILE`` reads it.

One pattern a line, in grep's basic regular expressions; a line is bad when any of them is found in
it, each as grep finds it alone.  (Given certain many at once, grep 3.8 loses some; we do not.)  The
meaning of a pattern is `bre`'s business; this module reads the file and matches lines.

- There are no comments: a line with ``#`` is a pattern, as it is for grep.
- An empty file has no patterns and matches nothing, as with ``grep -f /dev/null``.
- Refused, though grep takes them, for each would silently match all mail or none: a blank line, a
  blank at the end of a line, a carriage return, NUL, a byte order mark.
- Back-references and the few readings in which greps differ are refused, with the remedy.

Guarantees: time linear in the bytes matched; memory within `_UNION` for the verdict, and within
`_SINGLE` a pattern to say which line decides; matching never raises, whatever the lines hold.  A
pattern file is refused, by ConfigError with file, line, pattern and remedy, or means what grep
makes of it.  Never does: I/O, remembering, and `re`.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import re2

from spoolscan.errors import ConfigError
from spoolscan.scanner.bre import BadPattern, translate

_UNION: Final = 32 << 20  # bytes that RE2 may take for all patterns together
_SINGLE: Final = 2 << 20  # bytes that RE2 may take for one pattern
_SHOWN: Final = 200  # characters of a pattern in a message


@dataclass(frozen=True, slots=True)
class Match:
    """Which line of which file decides; ``pattern`` is that line, escaped to ASCII."""

    source: str
    line: int
    pattern: str


@dataclass(frozen=True)
class Patterns:
    """The patterns of one file.  Immutable; may be used by several threads."""

    source: str
    rules: tuple[Match, ...] = ()
    _union: Any = field(default=None, repr=False, compare=False)
    _expressions: tuple[bytes, ...] = field(default=(), repr=False, compare=False)

    @classmethod
    def parse(cls, text: bytes, source: str) -> Patterns:
        """Read the bytes of a pattern file; ``source`` is the name it has in messages.

        Raises ConfigError for the first line that cannot be used.
        """
        if text.startswith(codecs.BOM_UTF8):
            raise _refusal(source, 1, text[:3], "byte order mark; save the file without it")
        lines = text.split(b"\n")
        if not lines[-1]:
            lines.pop()
        rules: list[Match] = []
        expressions: list[bytes] = []
        for number, line in enumerate(lines, 1):
            try:
                _check(line)
                expressions.append(translate(line))
            except BadPattern as error:
                raise _refusal(source, number, line, str(error)) from error
            rules.append(Match(source, number, _ascii(line)))
        if not rules:
            return cls(source)
        union = b"|".join(b"(?:%s)" % one for one in expressions)
        if not _fits(union):
            _check_sizes(source, lines, expressions)
        try:
            return cls(source, tuple(rules), _compiled(union, _UNION), tuple(expressions))
        except re2.error as error:
            raise ConfigError(
                f"{source}: {len(rules)} patterns are too large for the matcher together"
                f" ({_ascii(error.args[0])}); use fewer or shorter ones"
            ) from error

    def first(self, lines: Sequence[bytes]) -> Match | None:
        """The first pattern, in the order of the file, that is found in any of the lines.

        The lines are without their line ends; an LF inside one makes it two, as for grep.
        """
        if self._union is None or not lines:
            return None
        text = b"\n".join(lines)
        if self._union.search(text) is None:
            return None
        if numbers := self._all.Match(text):
            first: int = min(numbers)
            return self.rules[first]
        # The set ran out of memory, and says so by finding nothing.
        for rule, expression in zip(self.rules[:-1], self._expressions[:-1], strict=True):
            if _compiled(expression, _SINGLE).search(text) is not None:
                return rule
        return self.rules[-1]  # what is none of the others

    @cached_property
    def _all(self) -> Any:
        """All patterns as a set, which tells the numbers of those found; made at the first hit."""
        found = re2.Set.SearchSet(_options(_UNION))
        for rule in self._expressions:
            found.Add(b"(?m)" + rule)
        found.Compile()
        return found


def _check(line: bytes) -> None:
    """Raises BadPattern for a line that is surely not what its author means."""
    if not line.strip(b" \t\r"):
        raise BadPattern("a blank line would match every mail; remove it")
    if b"\r" in line:
        raise BadPattern("carriage return, never found; end lines with LF alone (dos2unix)")
    if b"\0" in line:
        raise BadPattern("NUL; this is not a text file, or not in an ASCII or UTF-8 encoding")
    if line.endswith((b" ", b"\t")):
        raise BadPattern("blank at the end of the line; remove it, or write [ ] where it is meant")


def _fits(expression: bytes) -> bool:
    """Whether what may be as large as all patterns together is no larger than one may be."""
    try:
        _compiled(expression, _SINGLE)
    except re2.error:
        return False
    return True


def _check_sizes(source: str, lines: Sequence[bytes], expressions: Sequence[bytes]) -> None:
    """Raises ConfigError for the first pattern that is too large by itself."""
    for number, (line, expression) in enumerate(zip(lines, expressions, strict=True), 1):
        try:
            _compiled(expression, _SINGLE)
        except re2.error as error:
            reason = f"too large for the matcher ({_ascii(error.args[0])}); repeat less often"
            raise _refusal(source, number, line, reason) from error


def _compiled(expression: bytes, memory: int) -> Any:
    """Raises re2.error where it is too large."""
    return re2.compile(b"(?m)" + expression, _options(memory))


def _options(memory: int) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = memory
    options.never_capture = True
    options.log_errors = False
    return options


def _refusal(source: str, number: int, line: bytes, reason: str) -> ConfigError:
    return ConfigError(f'{source}, line {number}, "{_ascii(line)[:_SHOWN]}": {reason}')


def _ascii(line: bytes) -> str:
    """A pattern as it stands in its file; only what a terminal would not show is escaped."""
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in line)
