"""DDE: fields and formulas that ask another program for data, and start it for that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from spoolscan.scanner.macros.traits import PROGRAMS, Trait, compiled

COMMAND: Final = Trait("command by DDE", 50, is_own=True)
_FIELD: Final = Trait("DDE field", 25, is_own=True)

SERVICE: Final = (
    rb"\b(?:cmd|powershell|pwsh|mshta|wscript|cscript|rundll32|regsvr32|certutil|msexcel|excel)"
    rb"(?:\.exe)?\s{0,8}"
)
_COMPOUND_FIELD: Final = compiled(
    rb"\x13[ \0]{0,8}D\0?D\0?E\0?(?:A\0?U\0?T\0?O\0?)?[ \"]([^\x14\x15]{0,1000})"
)
_TEXT_FIELD: Final = re.compile(rb"(?i)(?:\A|[^\w.-])DDE(?:AUTO)?\b([^\n]{0,2000})")
_PROGRAM: Final = compiled(rb"\bcmd\b|\bquote\b|" + PROGRAMS)  # QUOTE makes letters of numbers
_CELL: Final = compiled(
    rb"(?:^|[\r\n,;\t])\s{0,20}\"{0,3}\s{0,20}[=+@-][^\r\n|]{0,300}" + SERVICE + rb"\|"
)
_TABLES: Final = (".csv", ".tsv", ".slk", ".dif", ".prn")


def of_compound(data: bytes) -> Iterator[Trait]:
    """Fields of a .doc stand in its text between two control characters ([MS-DOC] 2.8.25)."""
    for field in _COMPOUND_FIELD.finditer(data):
        yield _judged(field[1].replace(b"\0", b""))


def of_instructions(text: bytes) -> Iterator[Trait]:
    """What fields of a document say, a line each."""
    for field in _TEXT_FIELD.finditer(text):
        yield _judged(field[1])


def is_table(name: str) -> bool:
    """Whether a spreadsheet program would open a plain text, by its name."""
    return name.lower().endswith(_TABLES)


def of_table(data: bytes) -> Iterator[Trait]:
    if _CELL.search(data):
        yield COMMAND


def _judged(argument: bytes) -> Trait:
    return COMMAND if _PROGRAM.search(argument) else _FIELD
