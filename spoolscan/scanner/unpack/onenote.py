"""OneNote sections ([MS-ONESTORE]): the files embedded in them.

They are found by the mark each begins with, not by the tables that lead to them: what a reader
could be led to is found, and what was deleted and still lies there as well.  Their names stand
elsewhere and are not told; the rules of the engine look at them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from uuid import UUID

from spoolscan.scanner.bounds import Budget
from spoolscan.scanner.unpack.meter import Meter
from spoolscan.scanner.unpack.seam import Member
from spoolscan.verdict import Cause, Doubt

_SECTION: Final = UUID("7b5c52e4-d88c-4da7-aeb1-5378d02996d3").bytes_le  # 2.3.1 guidFileType
_CONTENTS: Final = UUID("43ff2fa1-efd9-4c76-9ee2-10ea5722765f").bytes_le
_STORE: Final = UUID("109add3f-911b-49f5-a5d0-1791edc8aed8").bytes_le  # guidFileFormat
_FORMAT_AT: Final = 48
_OBJECT: Final = UUID("bde316e7-2665-4511-a4c4-8d4d0b7a9eac").bytes_le  # 2.6.13 guidHeader
_HEAD: Final = 16 + 8 + 4 + 8  # guidHeader, cbLength, unused, reserved


class OneNote:
    """See the module."""

    name = "OneNote"

    def recognises(self, data: bytes) -> bool:
        return data.startswith((_SECTION[:8], _CONTENTS[:8]))

    def members(self, data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
        meter = Meter(budget, len(data))
        if not data.startswith(_STORE, _FORMAT_AT):
            yield Doubt(Cause.UNOPENED, "OneNote files as a server packs them are not opened")
        at = data.find(_OBJECT)
        while at >= 0:
            start = at + _HEAD
            size = int.from_bytes(data[at + 16 : at + 24], "little")
            meter.member()
            meter.take(min(size, max(0, len(data) - start)))
            yield Member("", data[start : start + size])
            if start + size > len(data):
                yield Doubt(Cause.UNREADABLE, "OneNote file is broken or cut short")
            at = data.find(_OBJECT, start)
