"""Tar archives: ustar, pax (POSIX.1-2001), GNU and the older forms.

Every 512-byte block that has a right checksum is taken for a header, behind the end mark too
(archives are concatenated by ``cat``, and some programs read on).  Long names come from GNU and
pax headers.  Links and devices have names and no content; sparse files come as they are stored.
Never raises but LimitReached; reads each block once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from spoolscan.scanner.bounds import Budget
from spoolscan.scanner.content import is_tar
from spoolscan.scanner.unpack.meter import Meter
from spoolscan.scanner.unpack.seam import Member, text
from spoolscan.verdict import Cause, Doubt

_BLOCK: Final = 512
_DIRECTORIES: Final = frozenset(b"5D")
_EMPTY: Final = frozenset(b"123456DV")  # links, devices, directories, labels
_LONG_NAME: Final = 0x4C  # "L"
_LONG: Final = frozenset(b"KL")  # a long link, a long name
_SPARSE: Final = 0x53  # "S"
_PAX: Final = frozenset(b"xgX")


class Tar:
    """See the module."""

    name = "tar"

    def recognises(self, data: bytes) -> bool:
        return is_tar(data)

    def members(self, data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
        meter = Meter(budget, len(data))
        at = 0
        more = _More()
        whole = True
        while at + _BLOCK <= len(data):
            if not is_tar(data, at):
                whole = whole and data.count(0, at, at + _BLOCK) == _BLOCK
                at += _BLOCK
                continue
            header = data[at : at + _BLOCK]
            kind = header[156]
            size = _number(header[124:136]) if more.size is None else more.size
            at = _behind_headers(data, at)
            if kind in _EMPTY:
                size = 0
            body = data[at : at + size]
            whole = whole and len(body) == size
            at += _padded(size)
            if kind in _LONG or kind in _PAX:
                more = more.with_header(kind, body)
                continue
            if kind not in _DIRECTORIES:
                yield from _members(_names(header, more.name), body, meter)
            more = _More()
        if not whole or more != _More():
            yield Doubt(Cause.UNREADABLE, "tar archive is broken or cut short")


@dataclass(frozen=True, slots=True)
class _More:
    """What GNU and pax headers say of the member that follows them."""

    name: bytes | None = None
    size: int | None = None

    def with_header(self, kind: int, body: bytes) -> _More:
        if kind == _LONG_NAME:
            return replace(self, name=body.rstrip(b"\0"))
        return _pax(body, self) if kind in _PAX else self


def _members(names: tuple[bytes, ...], body: bytes, meter: Meter) -> Iterator[Member]:
    for name in names:
        meter.member()
        meter.take(len(body))
        yield Member(text(name), body)


def _names(header: bytes, long_name: bytes | None) -> tuple[bytes, ...]:
    """The long name, and the short one where it is not just the beginning of it."""
    short = _short_name(header)
    if long_name is None:
        return (short,)
    file, long_file = short.rpartition(b"/")[2], long_name.rpartition(b"/")[2]
    if long_name.startswith(short) or long_file.startswith(file):
        return (long_name,)
    return (long_name, short)


def _behind_headers(data: bytes, at: int) -> int:
    """The old GNU form of a sparse file has blocks of offsets behind its header."""
    extended = data[at + 156] == _SPARSE and data[at + 482]
    at += _BLOCK
    while extended and at + _BLOCK <= len(data):
        extended = data[at + 504]
        at += _BLOCK
    return at


def _padded(size: int) -> int:
    return (size + _BLOCK - 1) // _BLOCK * _BLOCK


def _number(field: bytes) -> int:
    """Octal, or binary where the first bit is set (GNU, star)."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:])
    digits = field.strip(b" \0").split(b"\0")[0]
    return int(digits, 8) if digits and not digits.strip(b"01234567") else 0


def _short_name(header: bytes) -> bytes:
    name = header[:100].split(b"\0")[0]
    prefix = header[345:500].split(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _pax(body: bytes, more: _More) -> _More:
    """The records "LENGTH KEY=VALUE\\n" that say where a member's data ends, and its name."""
    at = 0
    while (blank := body.find(b" ", at, at + 20)) > 0:
        digits = body[at:blank]
        if not digits.isdigit() or int(digits) <= len(digits) + 1:
            break
        key, _, value = body[blank + 1 : at + int(digits) - 1].partition(b"=")
        if key in {b"path", b"GNU.sparse.name"}:
            more = replace(more, name=value)
        elif key == b"size" and value.isdigit() and len(value) < 20:
            more = replace(more, size=int(value))
        at += int(digits)
    return more
