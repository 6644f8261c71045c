"""One line of the rules: where its fields and its words begin and end.

``:`` parts fields; blanks and commas part words.  Between ``[`` and ``]``, and between the slashes
of a regular expression, which begins a word or follows its ``@``, nothing parts anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from spoolscan.errors import ConfigError
from spoolscan.log import safe

T = TypeVar("T")

_FIELDS: Final = 4
_BLANKS: Final = " \t"
_BETWEEN: Final = " \t,"
_MOST_MISTAKES: Final = 10
_LONGEST: Final = 400  # characters of a line that are shown


class Mistake(ValueError):
    """Something in a line that cannot be used: what, and at which column, from 0."""

    def __init__(self, reason: str, column: int) -> None:
        super().__init__(reason)
        self.column = column


@dataclass(frozen=True, slots=True)
class Token:
    """A word, or the reply, and the column at which it begins."""

    text: str
    column: int


@dataclass(frozen=True, slots=True)
class Line:
    """The fields of a rule; ``reply`` is None where there is none."""

    action: Token
    source: tuple[Token, ...]
    sender: tuple[Token, ...]
    recipient: tuple[Token, ...]
    reply: Token | None


def read_lines(text: bytes, source: str, read: Callable[[str, int], T]) -> list[T]:
    """What ``read`` makes of each line that says something, given the line and its number from 1.

    Blank lines and those that begin with ``#`` say nothing.  Raises ConfigError with all mistakes:
    file, line, reason, and a caret under the place.
    """
    found: list[T] = []
    mistakes: list[str] = []
    try:
        lines = text.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        number = text.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{source}, line {number}: not UTF-8; save the file as that") from error
    for number, raw in enumerate(lines, 1):
        line = raw.rstrip(" \t\r")
        if not line or line.startswith("#"):
            continue
        try:
            found.append(read(line, number))
        except Mistake as mistake:
            mistakes.append(_shown(source, number, line, mistake))
    if mistakes:
        more = len(mistakes) - _MOST_MISTAKES
        rest = [f"{source}: and {more} more"] if more > 0 else []
        raise ConfigError("\n".join(mistakes[:_MOST_MISTAKES] + rest))
    return found


def scan(line: str) -> Line:
    """Raises Mistake where the fields are not there, or a bracket or a slash stands alone."""
    fields: list[tuple[Token, ...]] = []
    position = 0
    while len(fields) < _FIELDS:
        if position > len(line):
            raise Mistake("a rule is action:SRC:FROM:TO or action:SRC:FROM:TO:reply", len(line))
        words, end = _field(line, position)
        if not words:
            raise Mistake("nothing in this field; ALL is everything, IPv6 is in brackets", position)
        fields.append(words)
        position = end + 1
    if len(fields[0]) > 1:
        raise Mistake("one action, then a colon", fields[0][1].column)
    return Line(fields[0][0], fields[1], fields[2], fields[3], _reply(line, position))


def _reply(line: str, position: int) -> Token | None:
    while position < len(line) and line[position] in _BLANKS:
        position += 1
    if position >= len(line) or line[position] == "#":
        return None
    return Token(line[position:], position)


def _field(line: str, start: int) -> tuple[tuple[Token, ...], int]:
    """The words of the field that begins there, and where its colon stands or would stand."""
    words: list[Token] = []
    position = start
    while position < len(line) and line[position] != ":":
        if line[position] in _BETWEEN:
            position += 1
            continue
        end = _word_end(line, position)
        words.append(Token(line[position:end], position))
        position = end
    return tuple(words), position


def _word_end(line: str, start: int) -> int:
    position = start
    while position < len(line) and line[position] not in _BETWEEN + ":":
        if line[position] == "[":
            position = closing(line, position, "]", "the bracket is not closed")
        elif line[position] == "/" and (position == start or line[position - 1] == "@"):
            position = closing(line, position, "/", "the regular expression has no closing slash")
        position += 1
    return position


def closing(line: str, opening: int, mark: str, reason: str) -> int:
    """Where the mark stands that ends what is opened there.  Raises Mistake with the reason."""
    position = opening + 1
    while position < len(line):
        if line[position] == mark:
            return position
        position += 2 if line[position] == "\\" else 1
    raise Mistake(reason, opening)


def _shown(source: str, number: int, line: str, mistake: Mistake) -> str:
    column = len(safe(line[: mistake.column], _LONGEST))
    return (
        f"{source}, line {number}: {safe(mistake, _LONGEST)}\n"
        f"    {safe(line, _LONGEST)}\n    {' ' * column}^"
    )
