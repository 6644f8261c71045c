"""Zip methods that we do not unpack ourselves, by 7-Zip: a member is put into a zip of its own.

So what 7-Zip is asked for is this member and no other, whatever it would have made of the archive
that the member comes from.
"""

from __future__ import annotations

import struct

from spoolscan.scanner.unpack.listed import SEVEN_ZIP
from spoolscan.scanner.unpack.meter import Meter, Stream
from spoolscan.scanner.unpack.seam import Member
from spoolscan.scanner.unpack.zipheaders import Entry

_NAME = b"x"
_LAYOUT = 6  # of the flags, how imploded data is laid out; all else is told by the headers
_FOLLOWING = 8  # the flag of sizes behind the data
_LARGEST = 1 << 32  # bytes; more would need the fields of zip64


def unpack(packed: bytes, entry: Entry, method: int, meter: Meter) -> Stream | None:
    """The member, ``end`` being that of ``packed``; None where 7-Zip cannot be run, or cannot.

    Raises LimitReached.
    """
    if SEVEN_ZIP.missing() or entry.size >= _LARGEST or len(packed) >= _LARGEST:
        return None
    alone = archive(packed, entry, method, entry.flags & _LAYOUT)
    found = [item for item in SEVEN_ZIP.members(alone, meter) if isinstance(item, Member)]
    if not found or not found[0].data:
        return None
    return Stream(found[0].data, len(packed), whole=len(found) == 1)


def archive(packed: bytes, entry: Entry, method: int, flags: int, extra: bytes = b"") -> bytes:
    """APPNOTE 4.3.6: local header, data, perhaps its descriptor, central directory, end record."""
    sizes = (entry.crc, len(packed), entry.size)
    about = struct.pack(
        "<HHHHHLLLHH", 63, flags, method, entry.time, 0, *sizes, len(_NAME), len(extra)
    )
    local = b"PK\3\4" + about + _NAME + extra + packed
    if flags & _FOLLOWING:
        local += b"PK\7\x08" + struct.pack("<LLL", *sizes)
    central = b"PK\1\2\x3f\0" + about + struct.pack("<HHHLL", 0, 0, 0, 0, 0) + _NAME + extra
    end = struct.pack("<4s4HLLH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local), 0)
    return local + central + end
