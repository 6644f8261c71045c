"""VBA: projects in compound files, and the source of their modules.

A project without a readable source (p-code alone) is a presence of its own; one without a single
procedure, as Excel leaves behind, is none.  Strings are put together before they are looked at:
``"po" & Chr(119) & "ershell"``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from spoolscan.scanner.macros.traits import PROGRAMS, STARTS_ITSELF, Trait, compiled

PROJECT: Final = Trait("VBA project", 0, is_own=True)
SOURCE: Final = Trait("VBA source", 0)
NO_SOURCE: Final = Trait("VBA project whose source cannot be read", 50, is_presence=True)
_VBA: Final = Trait("VBA", 10, is_presence=True)
_SCRAMBLED: Final = Trait("hides its text", 15)

_CALLS: Final = {
    Trait("starts programs", 30): (
        rb"\b(?:shell|wscript\.shell|shellexecute[aw]?|shell\.application|win32_process"
        rb"|createprocess[aw]?|winexec)\b"
    ),
    Trait("names programs of Windows", 30): PROGRAMS,
    Trait("fetches files", 30): (
        rb"urldownloadtofile|xmlhttp|winhttprequest|internetopen[aw]?\b|internetreadfile"
        rb"|webclient|downloadfile|downloadstring"
    ),
    Trait("writes into memory", 40): (
        rb"\b(?:virtualalloc(?:ex)?|rtlmovememory|writeprocessmemory|createremotethread"
        rb"|createthread|ntallocatevirtualmemory|enumsystemlanguagegroupsw?|heapcreate)\b"
    ),
    Trait("runs Excel 4 macros", 30): rb"\bexecuteexcel4macro\b",
    Trait("makes objects", 10): rb"\b(?:createobject|getobject)\b",
    Trait("writes files", 10): (
        rb"adodb\.stream|savetofile|filesystemobject|createtextfile"
        rb"|\bopen\b[^\r\n]{1,200}\bfor\s{1,8}(?:binary|output|append)\b"
    ),
    Trait("changes Office", 20): rb"\b(?:regwrite|vbproject|accessvbom|organizercopy)\b",
    Trait("calls by name", 15): rb"\b(?:callbyname|strreverse)\b|\bapplication\.run\b",
    Trait("looks around", 5): rb"\benviron\$?\s{0,8}\(",
}
_PATTERNS: Final = {trait: compiled(pattern) for trait, pattern in _CALLS.items()}

_PROJECT_NAME: Final = compiled(b"\0".join(bytes([letter]) for letter in b"_VBA_PROJECT"))
_ATTRIBUTE: Final = compiled(rb"\battribute\s{1,8}vb_")
_PROCEDURE: Final = compiled(rb"\b(?:sub|function|property\s{1,8}[gls]et|declare)\s{1,40}\w")
_STARTS: Final = compiled(
    rb"\b(?:sub|function)\s{1,40}(?:auto_?(?:open|close|exec|exit|new|activate|deactivate)"
    rb"|(?:document|workbook|presentation)_?(?:open|close|new|beforeclose|beforesave|activate"
    rb"|deactivate|windowactivate|sheetactivate|contentcontrolonenter)|slideshow_?begin"
    rb"|\w{1,40}_(?:layout|painted|gotfocus|mousemove|beforenavigate2|documentcomplete))\b"
)
_COMMENT: Final = re.compile(rb"(?im)^[ \t]*(?:'|rem\b)[^\r\n]*")
_CONTINUED: Final = re.compile(rb"[ \t]_\r?\n[ \t]{0,80}")
_CHARACTER: Final = re.compile(rb"(?i)\bchrw?[$!]?\(\s{0,8}(\d{1,3})\s{0,8}\)")
_JOINT: Final = re.compile(rb"\"\s{0,40}[&+]\s{0,40}\"")
_HEAD: Final = 1024
_MANY_CHARACTERS: Final = 10  # made by number, in one module
_MOST_CHARACTERS: Final = 100_000


def of_compound(data: bytes) -> Iterator[Trait]:
    """Whether there is a project, by the name of its stream in the directory."""
    if _PROJECT_NAME.search(data):
        yield PROJECT


def is_module(data: bytes) -> bool:
    return bool(_ATTRIBUTE.search(data[:_HEAD]))


def of_module(source: bytes) -> Iterator[Trait]:
    """The source in the clear."""
    yield SOURCE
    source = _CONTINUED.sub(b" ", _COMMENT.sub(b"", source))
    if not _PROCEDURE.search(source):
        return
    yield _VBA
    if _STARTS.search(source):
        yield STARTS_ITSELF
    source, characters = _CHARACTER.subn(_literal, source, count=_MOST_CHARACTERS)
    if characters >= _MANY_CHARACTERS:
        yield _SCRAMBLED
    source = _JOINT.sub(b"", source)
    for trait, pattern in _PATTERNS.items():
        if pattern.search(source):
            yield trait


def _literal(call: re.Match[bytes]) -> bytes:
    """``Chr(65)`` as ``"A"``."""
    code = int(call[1])
    return b'"%c"' % code if 32 <= code < 127 and code != 34 else b'" "'
