"""cpio archives: newc and its checksummed form, portable ASCII (odc), and binary of either end.

Read on behind the trailer too, for the kernel and ``cat`` join archives; what is not a header there
and not padding is a doubt.  A link's target comes as its content; directories and devices have
none and are not given.  Never raises but LimitReached; reads each byte once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from spoolscan.scanner.bounds import Budget
from spoolscan.scanner.unpack.meter import Meter
from spoolscan.scanner.unpack.seam import Member, text
from spoolscan.verdict import Cause, Doubt

_NEW: Final = (b"070701", b"070702")
_OLD: Final = b"070707"
_AFIO: Final = b"070727"  # of afio, for large files: seen, and not read
_BINARY: Final = {b"\xc7\x71": "<", b"\x71\xc7": ">"}
_TRAILER: Final = b"TRAILER!!!"
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")
_OCTAL: Final = frozenset(b"01234567")


@dataclass(frozen=True, slots=True)
class _Header:
    """Where name and content lie, and where the next header stands."""

    name: slice
    content: slice
    end: int


class Cpio:
    """See the module."""

    name = "cpio"

    def recognises(self, data: bytes) -> bool:
        return data.startswith((*_NEW, _OLD, _AFIO, *_BINARY))

    def members(self, data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
        meter = Meter(budget, len(data))
        at, ended = 0, False
        while (header := _header(data, at)) is not None:
            budget.check_time()
            name = data[header.name].rstrip(b"\0")
            ended = name == _TRAILER
            at = header.end
            if header.content.start == header.content.stop and (ended or name in {b".", b".."}):
                at += _padding(data, at)
                continue
            meter.member()
            meter.take(header.content.stop - header.content.start)
            yield Member(text(name), data[header.content])
            if header.content.stop > len(data):
                break
        if not ended or at < len(data):
            yield Doubt(Cause.UNREADABLE, "cpio archive is broken or cut short")


def _padding(data: bytes, at: int) -> int:
    """How many zeros stand at ``at``."""
    rest = data[at:]
    return len(rest) - len(rest.lstrip(b"\0"))


def _header(data: bytes, at: int) -> _Header | None:
    magic = data[at : at + 6]
    if magic in _NEW:
        fields = data[at + 54 : at + 62], data[at + 94 : at + 102]
        if not all(len(field) == 8 and _HEX.issuperset(field) for field in fields):
            return None
        size, name_size = (int(field, 16) for field in fields)
        return _place(at, 110, name_size, size, 4)
    if magic == _OLD:
        fields = data[at + 65 : at + 76], data[at + 59 : at + 65]
        if not all(field and _OCTAL.issuperset(field) for field in fields):
            return None
        size, name_size = (int(field, 8) for field in fields)
        return _place(at, 76, name_size, size, 1)
    order = _BINARY.get(magic[:2])
    if order is None or len(data) - at < 26:
        return None
    name_size, high, low = struct.unpack_from(order + "3H", data, at + 20)
    return _place(at, 26, name_size, high << 16 | low, 2) if name_size else None


def _place(at: int, header_size: int, name_size: int, size: int, unit: int) -> _Header:
    """Name and content are each filled up to a multiple of ``unit``, counted from the header."""
    name_end = header_size + name_size
    start = name_end + -name_end % unit
    end = start + size
    return _Header(
        slice(at + header_size, at + name_end),
        slice(at + start, at + end),
        at + end + -end % unit,
    )
