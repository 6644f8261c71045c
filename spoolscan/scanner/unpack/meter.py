"""What one container may give: its members, their bytes, and these against its own size.

Shared by all unpackers, so that each counts alike and a bomb ends while it is being unpacked, not
after.  Here too are the pumps through which all decompression goes, in chunks.  A stream that
breaks off gives what came before; nothing here raises but LimitReached.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from dataclasses import dataclass, field
from typing import Final

from spoolscan.scanner.bounds import Budget, LimitReached

_FREE: Final = 1 << 20  # bytes a container may always give
_CHUNK: Final = 1 << 18  # bytes in, and bytes out, between two looks at the bounds
LZMA_MEMORY: Final = 1 << 27  # bytes; dictionaries in the wild are of 64 MiB at most


@dataclass(slots=True)
class Meter:
    """Counts for one container of ``size`` bytes."""

    budget: Budget
    size: int
    made: int = field(default=0)

    def member(self) -> None:
        """Count one member.  Raises LimitReached."""
        self.budget.take_part()

    def take(self, count: int) -> None:
        """Count bytes as they are made.  Raises LimitReached."""
        self.budget.take_bytes(count)
        self.made += count
        ratio = self.budget.bounds.ratio
        if self.made > _FREE and self.made > ratio * self.size:
            raise LimitReached(f"unpacks to more than {ratio} times its size")

    def left(self) -> int:
        """How many bytes `take` would still take."""
        ratio = self.budget.bounds.ratio
        own = max(_FREE, ratio * self.size) - self.made
        return max(0, min(own, self.budget.bounds.decoded_bytes - self.budget.decoded))


@dataclass(frozen=True, slots=True)
class Stream:
    """What a compressed stream gave; ``end`` is the offset behind it, if it is ``whole``."""

    data: bytes
    end: int
    whole: bool


def inflate(data: bytes, start: int, stop: int, meter: Meter) -> Stream:
    """A raw deflate stream (RFC 1951) at ``start``, read no further than ``stop``."""
    decoder = zlib.decompressobj(-zlib.MAX_WBITS)
    pieces: list[bytes] = []
    at, waiting = start, b""
    try:
        while not decoder.eof and (waiting or at < stop):
            if not waiting:
                waiting = data[at : min(at + _CHUNK, stop)]
                at += len(waiting)
            _take(piece := decoder.decompress(waiting, _CHUNK), len(waiting), meter)
            pieces.append(piece)
            waiting = decoder.unconsumed_tail
    except zlib.error:
        return Stream(b"".join(pieces), at, whole=False)
    return Stream(b"".join(pieces), at - len(decoder.unused_data), decoder.eof)


def expand(
    decoder: bz2.BZ2Decompressor | lzma.LZMADecompressor,
    data: bytes,
    start: int,
    stop: int,
    meter: Meter,
) -> Stream:
    """One bzip2, xz or lzma stream at ``start``, read no further than ``stop``."""
    pieces: list[bytes] = []
    at = start
    try:
        while not decoder.eof and (at < stop or not decoder.needs_input):
            waiting = data[at : min(at + _CHUNK, stop)] if decoder.needs_input else b""
            at += len(waiting)
            _take(piece := decoder.decompress(waiting, _CHUNK), len(waiting), meter)
            pieces.append(piece)
    except (OSError, EOFError, ValueError, MemoryError, lzma.LZMAError):
        return Stream(b"".join(pieces), at, whole=False)
    return Stream(b"".join(pieces), at - len(decoder.unused_data), decoder.eof)


def repeat(out: bytearray, distance: int, length: int) -> None:
    """Put ``length`` bytes behind ``out`` that stand ``distance`` bytes, one or more, before."""
    start = len(out) - distance
    repeated = out[start : start + length]
    out += (repeated * (length // distance + 1))[:length] if distance < length else repeated


def _take(piece: bytes, read: int, meter: Meter) -> None:
    """Count what was made; reading without making anything is work too, and counts."""
    meter.take(len(piece))
    meter.budget.take_bytes(max(0, read - len(piece)))
    meter.budget.check_time()
