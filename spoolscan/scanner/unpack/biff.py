r"""Excel 4 macros of an .xls, in words: what the records of its workbook say ([MS-XLS]).

A macro sheet is not text, but formulas in a code of their own; what is worth knowing is written
down as a member, like the source of VBA macros::

    ' Excel 4 macro sheet, very hidden
    ' name auto_open
    ' calls EXEC
    ' text "cmd /c ..."
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final

from spoolscan.scanner.macros.excel4 import HEAD
from spoolscan.scanner.unpack.meter import Meter

_BOUNDSHEET, _NAME, _FORMULA, _BOF, _EOF = 0x85, 0x18, 0x06, 0x0809, 0x0A
_MACRO_SHEET: Final = 1
_STATES: Final = ("", ", hidden", ", very hidden", ", very hidden")
_BUILT_IN: Final = {1: "auto_open", 2: "auto_close", 10: "auto_activate", 11: "auto_deactivate"}
# Functions by their number behind PtgFunc or PtgFuncVar ([MS-XLS] 2.5.198.17).
_FUNCTIONS: Final = {110: "EXEC", 132: "FOPEN", 136: "FWRITE", 149: "REGISTER", 150: "CALL"}
_CALL: Final = re.compile(rb"(?s)[\x22\x42\x62].([\x6e\x84\x88\x95\x96])[\x00\x80]")
_TEXT: Final = re.compile(rb"(?s)\x17(.)([\x00\x01])")
_MOST_SHEETS: Final = 1000
_SHORTEST: Final = 3  # characters of a text worth telling


def macros(stream: bytes, meter: Meter) -> bytes:
    """What a Workbook stream says of its macro sheets; b"" where it has none.

    Raises LimitReached.
    """
    sheets: list[tuple[int, int]] = []
    names: list[str] = []
    for kind, body in _records(stream, 0, meter):
        if kind == _BOUNDSHEET and len(body) >= 6 and body[5] == _MACRO_SHEET:
            sheets.append((int.from_bytes(body[:4], "little"), body[4] & 3))
        elif kind == _NAME:
            names.append(_name(body))
    if not sheets:
        return b""
    lines = [HEAD.decode() + _STATES[max(state for _, state in sheets)]]
    lines += [f"' name {name}" for name in dict.fromkeys(names) if name]
    for start, _ in sheets[:_MOST_SHEETS]:
        for kind, body in _records(stream, start, meter):
            if kind == _FORMULA:
                lines += _formula(body[20:])
    text = "\n".join([*dict.fromkeys(lines), ""]).encode()
    meter.take(len(text))
    return text


def _records(stream: bytes, at: int, meter: Meter) -> Iterator[tuple[int, bytes]]:
    """Those of one substream, from its BOF to its EOF."""
    depth = count = 0
    while at + 4 <= len(stream):
        kind, size = struct.unpack_from("<HH", stream, at)
        count += 1
        if count % 1024 == 0:
            meter.budget.check_time()
        if kind == _BOF:
            depth += 1
        elif kind == _EOF:
            depth -= 1
            if depth <= 0:
                return
        yield kind, stream[at + 4 : at + 4 + size]
        at += 4 + size


def _name(body: bytes) -> str:
    """A defined name ([MS-XLS] 2.4.150); BIFF5 has no byte of options before the letters."""
    if len(body) < 15:
        return ""
    letters = body[14:].lstrip(b"\0\1")[: body[3] * 2]
    if body[0] & 0x20:
        code = body[15] if body[14] == 0 and len(body) > 15 else body[14]
        return _BUILT_IN.get(code, "")
    name = letters.replace(b"\0", b"")[: body[3]].decode("latin-1")
    return name.lower() if name.isprintable() else ""


def _formula(tokens: bytes) -> Iterator[str]:
    for call in _CALL.finditer(tokens):
        yield f"' calls {_FUNCTIONS[call[1][0]]}"
    for found in _TEXT.finditer(tokens):
        size = found[1][0] * (2 if found[2] == b"\1" else 1)
        raw = tokens[found.end() : found.end() + size]
        text = raw.decode("utf-16-le" if found[2] == b"\1" else "latin-1", "replace")
        if len(text) >= _SHORTEST and text.isprintable():
            yield f"' text {text}"
