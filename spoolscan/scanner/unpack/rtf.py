"""RTF with objects in it: what ``\\objdata`` and its like carry, as members.

Word reads the hex digits past control words, groups, white space and ``\\bin`` data, and exploits
hide in that: the digits are read with what stands in inner groups, and without it.  The header may
be as short as ``{\\rt``.  Linear: each ``\\objdata`` is read up to the next one.
"""

from __future__ import annotations

import binascii
import itertools
import re
from collections.abc import Iterator
from typing import Final

from spoolscan.scanner.bounds import Budget, LimitReached
from spoolscan.scanner.unpack.meter import Meter
from spoolscan.scanner.unpack.package import ole_object
from spoolscan.scanner.unpack.seam import Member
from spoolscan.verdict import Doubt

_START: Final = re.compile(rb"\A[\s\0\xef\xbb\xbf]{0,64}+\{[\s\0]{0,16}+\\rt")
_OBJECT: Final = re.compile(rb"\\(?:objdata|datastore|datafield)(?![a-z])")
_INNER: Final = re.compile(rb"\{[^{}]*+\}")
_BINARY: Final = re.compile(rb"\\bin(\d{1,9}) ?")
_CONTROL: Final = re.compile(rb"\\(?:'[0-9A-Fa-f]{0,2}|[A-Za-z]+(?:-?\d+)?|[^A-Za-z])")
_NOT_HEX: Final = bytes(sorted(set(range(256)) - set(b"0123456789abcdefABCDEF")))
_COMPOUND: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_SMALLEST_COMPOUND: Final = 512  # bytes: its header alone
_MOST_GROUPS: Final = 200_000
_MOST_CONTROLS: Final = 1_000_000
_DEEPEST: Final = 4  # groups within an object's data that are left out


class Rtf:
    """See the module."""

    name = "RTF"

    def recognises(self, data: bytes) -> bool:
        return _START.match(data) is not None

    def members(self, data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
        meter = Meter(budget, len(data))
        bounds = [*(match.end() for match in _OBJECT.finditer(data)), len(data)]
        for start, stop in itertools.pairwise(bounds):
            budget.check_time()
            seen: set[bytes] = set()
            for blob in _blobs(data[start:stop], meter):
                if blob and blob not in seen:
                    seen.add(blob)
                    yield from _contents(blob, meter)


def _blobs(text: bytes, meter: Meter) -> Iterator[bytes]:
    """Each reading of the digits."""
    binary = _BINARY.search(text)
    if binary is not None:
        blob = text[binary.end() : binary.end() + int(binary[1])]
        meter.take(len(blob))
        yield blob
        text = text[: binary.start()] + text[binary.end() + int(binary[1]) :]
    yield _unhex(text, meter)
    for _ in range(_DEEPEST):
        text, count = _INNER.subn(b"", text, count=_MOST_GROUPS)
        if count == _MOST_GROUPS:
            raise LimitReached(f"RTF object with more than {count} groups")
        if not count:
            break
    yield _unhex(text, meter)


def _unhex(text: bytes, meter: Meter) -> bytes:
    digits, count = _CONTROL.subn(b"", text, count=_MOST_CONTROLS)
    if count == _MOST_CONTROLS:
        raise LimitReached(f"RTF object with more than {count} control words")
    digits = digits.translate(None, _NOT_HEX)
    meter.take(len(digits) // 2)
    return binascii.unhexlify(digits[: len(digits) // 2 * 2])


def _contents(blob: bytes, meter: Meter) -> Iterator[Member]:
    """The object itself, and a compound file wherever it begins: headers lie."""
    packed = ole_object(blob)
    compound = blob.find(_COMPOUND, 0, max(0, len(blob) - _SMALLEST_COMPOUND))
    if packed is not None:
        for name in packed.names:
            meter.member()
            yield Member(name, packed.data)
        if compound >= 0 and packed.data.startswith(_COMPOUND):
            return
    meter.member()
    yield Member("", blob[compound:] if compound >= 0 else blob)
