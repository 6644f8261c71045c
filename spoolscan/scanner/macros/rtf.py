"""RTF: templates from elsewhere, and DDE in fields.  Its objects are opened by the unpacker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from spoolscan.scanner.macros import dde, ooxml
from spoolscan.scanner.macros.traits import Trait, compiled

_START: Final = re.compile(rb"\A[\s\0\xef\xbb\xbf]{0,64}\{[\s\0]{0,16}\\rt")
_TEMPLATE: Final = compiled(
    rb"\{\s{0,40}\\\*\s{0,40}\\template\s{0,40}\{?\s{0,40}(\\\\\\\\|https?:|ftp:|mhtml:)"
)
_FIELD: Final = compiled(rb"\\fldinst([^\0]{0,600})")
_CONTROL: Final = re.compile(rb"\\(\\)|\\\*|\\[A-Za-z]{1,32}-?\d{0,10} ?|[{}\r\n]")
_LONGEST: Final = 400  # bytes of a field that are read, without control words


def is_rtf(data: bytes) -> bool:
    return _START.match(data) is not None


def of_document(data: bytes) -> Iterator[Trait]:
    for template in _TEMPLATE.finditer(data):
        is_share = template[1].startswith(b"\\")
        yield ooxml.SHARED_TEMPLATE if is_share else ooxml.TEMPLATE
    for field in _FIELD.finditer(data):
        yield from dde.of_instructions(_CONTROL.sub(_plain, field[1])[:_LONGEST])


def _plain(control: re.Match[bytes]) -> bytes:
    """Nothing, or the backslash that two of them stand for."""
    return control[1] or b""
