"""Zstandard (RFC 8878): single files, and the streams in zip archives.

Opened by the package ``zstandard`` where it is installed; where it is not, a doubt.  Frames are
found by our own walk over their blocks, so that several are one file, what stands behind them is a
member of its own, and a break is seen.  Never raises but LimitReached.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from spoolscan.scanner.bounds import Budget
from spoolscan.scanner.unpack.meter import Meter, Stream
from spoolscan.scanner.unpack.seam import Member
from spoolscan.verdict import Cause, Doubt

if TYPE_CHECKING:
    from types import ModuleType

_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_SKIPPABLE: Final = b"\x2a\x4d\x18"  # behind a byte from 0x50 to 0x5f
_WINDOW: Final = 1 << 27  # bytes; --ultra and --long ask for as much, and for more only by wish
_CHUNK: Final = 1 << 18
_RAW, _REPEATED, _RESERVED = 0, 1, 3


def missing() -> str | None:
    """What would have to be installed; None where all is there."""
    return None if _package() else "python zstandard"


class Zstd:
    """See the module."""

    name = "zstd"

    def recognises(self, data: bytes) -> bool:
        return data.startswith(_MAGIC) or _is_skippable(data, 0)

    def members(self, data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
        meter = Meter(budget, len(data))
        meter.member()
        pieces: list[bytes] = []
        at, whole = 0, True
        while whole:
            if _is_skippable(data, at):
                at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
                whole = at <= len(data)
            elif data.startswith(_MAGIC, at):
                stream = frame(data, at, len(data), meter)
                if stream is None:
                    yield Doubt(Cause.UNOPENED, f"zstd is not opened without {missing()}")
                    return
                pieces.append(stream.data)
                at, whole = stream.end, stream.whole
            else:
                break
        yield Member("", b"".join(pieces))
        if not whole:
            yield Doubt(Cause.UNREADABLE, "zstd stream is broken or cut short")
        elif rest := data[at:].strip(b"\0"):
            meter.member()
            meter.take(len(rest))
            yield Member("", rest)


def frame(data: bytes, start: int, stop: int, meter: Meter) -> Stream | None:
    """One frame at ``start``, read no further than ``stop``; None where the package is absent."""
    package = _package()
    if package is None:
        return None
    end = _end(data, start, stop, meter)
    packed = data[start : stop if end is None else end]
    decoder = package.ZstdDecompressor(max_window_size=_WINDOW)
    pieces: list[bytes] = []
    try:
        with decoder.stream_reader(packed) as reader:
            while piece := reader.read(_CHUNK):
                meter.take(len(piece))
                meter.budget.check_time()
                pieces.append(piece)
    except (package.ZstdError, MemoryError):
        return Stream(b"".join(pieces), stop, whole=False)
    return Stream(b"".join(pieces), end or stop, whole=end is not None)


def _end(data: bytes, at: int, stop: int, meter: Meter) -> int | None:
    """Where the frame at ``at`` ends, by the sizes of its blocks (3.1.1); None if it is cut."""
    if not data.startswith(_MAGIC, at) or at + 5 > stop:
        return None
    flags = data[at + 4]
    single = flags >> 5 & 1
    size_of_size = (single, 2, 4, 8)[flags >> 6]
    at += 5 + (1 - single) + (0, 1, 2, 4)[flags & 3] + size_of_size
    while at + 3 <= stop:
        block = int.from_bytes(data[at : at + 3], "little")
        kind, size = block >> 1 & 3, block >> 3
        if kind == _RESERVED:
            return None
        at += 3 + (1 if kind == _REPEATED else size)
        if block & 1:
            at += 4 * (flags >> 2 & 1)
            return at if at <= stop else None
    meter.budget.check_time()
    return None


def _is_skippable(data: bytes, at: int) -> bool:
    return data.startswith(_SKIPPABLE, at + 1) and data[at] & 0xF0 == 0x50


def _package() -> ModuleType | None:
    """Loaded by the first file that needs it; it need not be installed."""
    try:
        import zstandard  # noqa: PLC0415  # optional, and not to be loaded at the start
    except ImportError:
        return None
    return zstandard
