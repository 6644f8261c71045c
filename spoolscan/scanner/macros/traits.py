"""What a trait is, and how patterns are compiled.

==========  ==============================================================================
presence    there is a macro at all; without one, conduct counts nothing
conduct     what a macro does: starts by itself, starts programs, hides its text
own         needs no macro and lies in the part itself: DDE, templates and objects from outside
==========  ==============================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import re2


@dataclass(frozen=True, slots=True)
class Trait:
    """``words`` for a reader; ``points`` 0 for a mark that only other traits ask about.

    One that ``is_own`` is of the part that it was seen in, others of the document around that.
    """

    words: str
    points: int
    is_presence: bool = False
    is_own: bool = False


STARTS_ITSELF: Final = Trait("starts by itself", 25)

PROGRAMS: Final = (
    rb"(?:\bcmd(?:\.exe)?\s{0,4}/|%?comspec|powershell|pwsh|mshta|wscript|cscript|rundll32"
    rb"|regsvr32|certutil|bitsadmin|msbuild|installutil|\bwmic\b)"
)


def compiled(pattern: bytes) -> Any:  # re2 ships no types
    """By RE2: bytes, letters of either case, "." for any byte."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(rb"(?is)" + pattern, options)
