"""MAPI properties as TNEF lays them out ([MS-OXTNEF] section 2.1.3.4): keys, types and values.

``properties`` stops where the list breaks off, and never raises.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

ATTACH_DATA: Final = 0x3701
ATTACH_FILENAME: Final = 0x3704
ATTACH_LONG_FILENAME: Final = 0x3707
DISPLAY_NAME: Final = 0x3001
RTF_COMPRESSED: Final = 0x1009
BODIES: Final = {0x1000: "message.txt", 0x1013: "message.html"}

OBJECT: Final = 0x000D
_UNICODE: Final = 0x001F
_VARIABLE: Final = frozenset((OBJECT, 0x001E, _UNICODE, 0x0102))
_MULTIPLE: Final = 0x1000
_SIZES: Final = {
    0x0002: 4, 0x0003: 4, 0x0004: 4, 0x0005: 8, 0x0006: 8, 0x0007: 8, 0x000A: 4, 0x000B: 4,
    0x0014: 8, 0x0040: 8, 0x0048: 16,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Property:
    """``key`` is the property's number, ``kind`` its type."""

    key: int
    kind: int
    value: bytes

    @property
    def text(self) -> str:
        return (
            self.value.decode("utf-16-le", "replace").rstrip("\0")
            if (self.kind == _UNICODE)
            else as_text(self.value)
        )


def as_text(value: bytes) -> str:
    """A name in an unknown code page."""
    value = value.split(b"\0")[0]
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("cp1252", "replace")


def properties(data: bytes) -> Iterator[Property]:
    """Every value, those of a list one by one."""
    at = 4
    while at + 4 <= len(data):
        kind, key = struct.unpack_from("<HH", data, at)
        at += 4
        if key >= 0x8000:
            at = _behind_name(data, at)
        many, kind = bool(kind & _MULTIPLE), kind & ~_MULTIPLE
        count = 1
        if many or kind in _VARIABLE:
            count, at = _number(data, at), at + 4
        if kind not in _VARIABLE:
            if kind not in _SIZES:
                return
            at += count * _SIZES[kind]
            continue
        while count > 0 and at + 4 <= len(data):
            length = _number(data, at)
            at += 4
            yield Property(key, kind, data[at : at + length])
            at += (length + 3) // 4 * 4
            count -= 1


def _behind_name(data: bytes, at: int) -> int:
    """A named property has a GUID, and a number or a name of its own."""
    by_name = _number(data, at + 16)
    if not by_name:
        return at + 24
    return at + 24 + (_number(data, at + 20) + 3) // 4 * 4


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")
