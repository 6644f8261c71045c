"""Uuencode (POSIX uuencode), with ``begin`` or without, and its base64 form ``begin-base64``.

Lenient as clients are: a missing ``end``, blanks cut from line ends, a line longer than it says,
and both spellings of zero (blank and grave accent).  Lines that cannot be uuencode are left out.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from typing import Final

from spoolscan.scanner import base64
from spoolscan.scanner.armour import Block
from spoolscan.scanner.bounds import Budget, LimitReached

BEGIN: Final = re.compile(
    rb"(?<![^\r\n])begin(?P<base64>-base64(?:-encoded)?)?[ \t]++[0-7]{3,6}[ \t]++(?P<name>[^\r\n]*)"
)
_LINE: Final = re.compile(rb"(?m)^([!-`])([ -`]*)")
_END: Final = re.compile(rb"(?m)^end[ \t\r]*$")
_END_OF_BASE64: Final = re.compile(rb"(?m)^====")
_MOST_LINES: Final = 500_000  # some 20 MB in lines of the usual length
_AS_BASE64: Final = bytes.maketrans(
    bytes(range(32, 97)),
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/A",
)


def blocks(text: bytes, budget: Budget) -> Iterator[Block]:
    """Every block from its ``begin`` to its end, or to the next ``begin``."""
    begin = BEGIN.search(text)
    while begin is not None:
        following = BEGIN.search(text, begin.end())
        stop = len(text) if following is None else following.start()
        end = (_END_OF_BASE64 if begin["base64"] else _END).search(text, begin.end(), stop)
        body = text[begin.end() : stop if end is None else end.start()]
        budget.take_part()
        if begin["base64"]:
            data, _ = next(base64.readings(body, budget))
        else:
            data = decode(body, budget)
        yield Block(begin["name"].strip(), data, begin.start())
        begin = following


def decode(body: bytes, budget: Budget) -> bytes:
    """The lines of a block, or of a body that has neither ``begin`` nor ``end``."""
    budget.take_bytes(len(body) * 3 // 4)
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if body.count(b"\n") > _MOST_LINES:
        raise LimitReached(f"uuencode of more than {_MOST_LINES} lines")
    pieces: list[bytes] = []
    for count, letters in _LINE.findall(body):
        size = (count[0] - 32) & 63
        width = (size + 2) // 3 * 4
        line = letters[:width].translate(_AS_BASE64).ljust(width, b"A")
        pieces.append(binascii.a2b_base64(line)[:size])
    return b"".join(pieces)
