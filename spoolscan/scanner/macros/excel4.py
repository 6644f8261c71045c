"""Excel 4 macros (XLM): sheets of formulas that are programs.

An .xls keeps them in records, of which the OLE unpacker makes a listing (unpack/biff.py): its first
line begins with HEAD and tells how the sheet is hidden.  In the zipped formats each sheet is a
member in a folder of its own; nobody writes new ones, so that there is one is enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from spoolscan.scanner.macros.traits import PROGRAMS, STARTS_ITSELF, Trait, compiled

HEAD: Final = b"' Excel 4 macro sheet"

ZIPPED: Final = Trait("Excel 4 macro sheet", 40, is_presence=True)
STARTS_PROGRAMS: Final = Trait("starts or calls programs", 40)
_SHEET: Final = Trait("Excel 4 macros", 20, is_presence=True)
_HIDDEN: Final = Trait("on a hidden sheet", 25)

_FOLDER: Final = re.compile(r"(?i)(?:\A|[/\\])macrosheets[/\\]")
_STARTS: Final = compiled(rb"\bauto_(?:open|close|activate|deactivate)")
CALLS: Final = compiled(
    rb"\b(?:exec|call|register|fopen|fwrite|urldownloadtofile[aw]?)\b|" + PROGRAMS
)


def is_sheet_name(name: str) -> bool:
    """Whether a member of a zipped workbook is a macro sheet by where it lies."""
    return _FOLDER.search(name) is not None


def is_listing(data: bytes) -> bool:
    return data.startswith(HEAD)


def of_listing(text: bytes) -> Iterator[Trait]:
    first, _, rest = text.partition(b"\n")
    yield _SHEET
    if first.endswith(b"hidden"):
        yield _HIDDEN
    if _STARTS.search(rest):
        yield STARTS_ITSELF
    if CALLS.search(rest):
        yield STARTS_PROGRAMS
