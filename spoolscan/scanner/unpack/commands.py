"""All commands that are ever run over an archive; who may run none asks for one of these.

It asks by a number and, for the commands that have a blank, a word to fill it with (a password).
So it can say which of our commands, and never what is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from spoolscan.scanner.unpack.listed import SEVEN_ZIP, UNAR

BLANK: Final = "\0"  # in a command, where the word goes: no argument has one
COMMANDS: Final = (*SEVEN_ZIP.commands(), *UNAR.commands())
PROGRAMS: Final = tuple(dict.fromkeys(command[0] for command in COMMANDS))
_LONGEST: Final = 1000  # characters of a word


def ask(argv: Sequence[str]) -> tuple[int, str]:
    """The number and the word that stand for a command.  Raises ValueError where none does."""
    for number, command in enumerate(COMMANDS):
        word = _word(command, argv)
        if list(argv) == _filled(command, word):
            return number, word
    raise ValueError(f"{argv[0]} is not run like that")


def told(number: object, word: object) -> list[str]:
    """The command that they stand for.  Raises ValueError: they may be anything."""
    if not isinstance(number, int) or not 0 <= number < len(COMMANDS):
        raise ValueError(f"no command has the number {number!r}")
    if not isinstance(word, str) or len(word) > _LONGEST or BLANK in word:
        raise ValueError("no word to be filled in")
    return _filled(COMMANDS[number], word)


def _word(command: Sequence[str], argv: Sequence[str]) -> str:
    """What stands in the first blank, if it is that command."""
    for ours, theirs in zip(command, argv, strict=False):
        if BLANK in ours:
            return theirs[ours.index(BLANK) :]
    return ""


def _filled(command: Sequence[str], word: str) -> list[str]:
    return [part.replace(BLANK, word) for part in command]
