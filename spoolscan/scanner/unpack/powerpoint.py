"""Objects and macros of a PowerPoint file: compound files in its stream ([MS-PPT] 2.10.34).

Records are found by their type, for the tree they stand in is not needed.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final

from spoolscan.scanner.unpack.meter import Meter, inflate

# ExOleObjStg and its VBA twin: instance 0 (as it is) or 1 (size, then zlib).
_RECORD: Final = re.compile(rb"(?s)(?:\x00|\x10)\x00\x11\x10....")


def storages(stream: bytes, meter: Meter) -> Iterator[bytes]:
    """Every embedded compound file, in order.  Raises LimitReached."""
    at = 0
    while (record := _RECORD.search(stream, at)) is not None:
        start = record.end()
        stop = min(len(stream), start + struct.unpack_from("<L", stream, start - 4)[0])
        at = max(start, stop)
        if stream[record.start()] == 0:
            meter.take(stop - start)
            yield stream[start:stop]
        else:
            yield inflate(stream, start + 6, stop, meter).data
