"""BinHex 4.0 (RFC 1741): a Macintosh file, its two forks and its name, as text.

The forks are two blocks of one name; the resource fork is given only where it is not empty.
Checksums are not believed.  Python 3.11 dropped its decoder, so this is our own.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from typing import Final

from spoolscan.scanner.armour import Block
from spoolscan.scanner.bounds import Budget, LimitReached

_LETTERS: Final = rb"""!"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"""
HEAD: Final = b"(This file must be converted with BinHex 4.0)\n"
BEGIN: Final = re.compile(rb"\(This file must be converted with BinHex[^\r\n]*[\r\n]\s*+:?")
_AS_BASE64: Final = bytes.maketrans(
    _LETTERS, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
)
_OTHERS: Final = bytes(sorted(set(range(256)) - set(_LETTERS)))
_MOST_RUNS: Final = 1_000_000
_MARK: Final = b"\x90"


def blocks(text: bytes, budget: Budget) -> Iterator[Block]:
    """Every block from its opening colon to its closing one."""
    begin = BEGIN.search(text)
    while begin is not None:
        end = text.find(b":", begin.end())
        stop = len(text) if end < 0 else end
        budget.take_part()
        yield from _forks(decode(text[begin.end() : stop], budget), begin.start())
        begin = BEGIN.search(text, stop)


def decode(body: bytes, budget: Budget) -> bytes:
    """The letters between the colons, decoded and with runs expanded."""
    letters = body.translate(_AS_BASE64, _OTHERS)
    if len(letters) % 4 == 1:
        letters = letters[:-1]
    return _expanded(binascii.a2b_base64(letters + b"=" * (-len(letters) % 4)), budget)


def _expanded(packed: bytes, budget: Budget) -> bytes:
    """Run lengths: 0x90 n makes the byte before it n in all; 0x90 0x00 is 0x90 itself."""
    budget.take_bytes(len(packed))
    if packed.count(_MARK) > _MOST_RUNS:
        raise LimitReached(f"BinHex with more than {_MOST_RUNS} runs")
    plain = bytearray()
    start = 0
    while (mark := packed.find(_MARK, start)) >= 0:
        plain += packed[start:mark]
        count = int.from_bytes(packed[mark + 1 : mark + 2])
        if count:
            budget.take_bytes(count - 1)
            plain += plain[-1:] * (count - 1)
        else:
            plain += _MARK
        start = mark + 2
    return bytes(plain + packed[start:])


def _forks(file: bytes, start: int) -> Iterator[Block]:
    """Header: length of the name, name, NUL, type, creator, flags, two lengths, checksum."""
    size = file[0] if file else 0
    name = file[1 : 1 + size]
    lengths = file[size + 12 : size + 20]
    data = int.from_bytes(lengths[:4])
    resource = int.from_bytes(lengths[4:])
    body = file[size + 22 :]
    yield Block(name, body[:data], start)
    if resource:
        yield Block(name, body[data + 2 : data + 2 + resource], start)
