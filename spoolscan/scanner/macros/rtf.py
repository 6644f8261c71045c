"""RTF: templates from elsewhere, and DDE in fields.  Its objects are opened by the unpacker."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Final

from spoolscan.scanner.macros import dde, ooxml
from spoolscan.scanner.macros.traits import Trait, compiled

_START: Final = re.compile(rb"\A[\s\0\xef\xbb\xbf]{0,64}\{[\s\0]{0,16}\\rt")
_TEMPLATE: Final = compiled(
    rb"\{\s{0,40}\\\*\s{0,40}\\template\s{0,40}\{?\s{0,40}(\\\\\\\\|https?:|ftp:|mhtml:)"
)
_FIELD: Final = compiled(rb"\\fldinst")
_CONTROL: Final = re.compile(rb"\\(\\)|\\\*|\\[A-Za-z]{1,32}-?\d{0,10} ?|[{}\r\n]")
_LONGEST: Final = 1000  # bytes of a field that are read


def is_rtf(data: bytes) -> bool:
    return _START.match(data) is not None


def of_document(data: bytes) -> Iterator[Trait]:
    for template in _TEMPLATE.finditer(data):
        is_share = template[1].startswith(b"\\")
        yield ooxml.SHARED_TEMPLATE if is_share else ooxml.TEMPLATE
    fields = [field.end() for field in itertools.islice(_FIELD.finditer(data), ooxml.MOST + 1)]
    for start, stop in itertools.pairwise([*fields, len(data)]):
        field = data[start : min(stop, start + _LONGEST)]
        yield from dde.of_instructions(_CONTROL.sub(_plain, field))
    if len(fields) > ooxml.MOST:
        yield ooxml.ENDLESS


def _plain(control: re.Match[bytes]) -> bytes:
    """Nothing, or the backslash that two of them stand for."""
    return control[1] or b""
