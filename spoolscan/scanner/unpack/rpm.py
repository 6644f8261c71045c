"""RPM packages: the payload behind lead, signature and header, as the one member it is.

It is a compressed cpio archive, and opened as that in its turn.  Never raises but LimitReached.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from spoolscan.scanner.bounds import Budget
from spoolscan.scanner.unpack.meter import Meter
from spoolscan.scanner.unpack.seam import Member
from spoolscan.verdict import Cause, Doubt

_LEAD: Final = 96
_SECTION: Final = b"\x8e\xad\xe8"


class Rpm:
    """See the module."""

    name = "RPM"

    def recognises(self, data: bytes) -> bool:
        return data.startswith(b"\xed\xab\xee\xdb")

    def members(self, data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
        meter = Meter(budget, len(data))
        at = _LEAD
        for unit in (8, 1):  # the signature is filled up, the header is not
            if not data.startswith(_SECTION, at):
                yield Doubt(Cause.UNREADABLE, "RPM package is broken or cut short")
                return
            entries = int.from_bytes(data[at + 8 : at + 12])
            size = int.from_bytes(data[at + 12 : at + 16])
            at += 16 + 16 * entries + size
            at += -at % unit
        meter.member()
        meter.take(max(0, len(data) - at))
        yield Member("", data[at:])
