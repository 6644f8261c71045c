"""Windows shortcuts ([MS-SHLLINK]): the command they run, and what hangs behind their end.

A shortcut that was sent by mail often carries its program, script or archive itself, and its
arguments cut that out again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from spoolscan.scanner.bounds import Budget
from spoolscan.scanner.unpack.meter import Meter
from spoolscan.scanner.unpack.seam import Member
from spoolscan.verdict import Cause, Doubt

_MAGIC: Final = b"\x4c\0\0\0\x01\x14\x02\0"  # 2.1: its size, and its class
_HEAD: Final = 76
_TARGETS, _INFO, _UNICODE = 0x01, 0x02, 0x80
# 2.4 StringData, in this order; the path and the arguments are the command.
_STRINGS: Final = ((0x04, False), (0x08, True), (0x10, False), (0x20, True), (0x40, False))


class Shortcut:
    """See the module."""

    name = "shortcut"

    def recognises(self, data: bytes) -> bool:
        return data.startswith(_MAGIC)

    def members(self, data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
        meter = Meter(budget, len(data))
        flags = int.from_bytes(data[20:24], "little")
        at = _HEAD
        if flags & _TARGETS:
            at += 2 + int.from_bytes(data[at : at + 2], "little")
        if flags & _INFO:
            at += max(4, int.from_bytes(data[at : at + 4], "little"))
        command: list[str] = []
        for flag, runs in _STRINGS:
            if not flags & flag:
                continue
            size = int.from_bytes(data[at : at + 2], "little") * (2 if flags & _UNICODE else 1)
            raw = data[at + 2 : at + 2 + size]
            at += 2 + size
            if runs:
                command.append(raw.decode("utf-16-le" if flags & _UNICODE else "cp1252", "replace"))
        if any(command):
            meter.member()
            words = " ".join(command).encode("utf-8", "replace")
            meter.take(len(words))
            yield Member("command", words)
        while (size := int.from_bytes(data[at : at + 4], "little")) >= 4:  # 2.5 ExtraData
            at += size
        if at > len(data):
            yield Doubt(Cause.UNREADABLE, "shortcut is broken or cut short")
        elif rest := data[at + 4 :].strip(b"\0"):
            meter.member()
            meter.take(len(rest))
            yield Member("", rest)
