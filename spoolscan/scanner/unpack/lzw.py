"""Unix compress (.Z): LZW of up to 16 bits, as compress 4.2 writes and reads it.

For the table in `compressed`.  A string of the code table is kept as where it stands in the
output, so that the table costs the same for every file.
"""

from __future__ import annotations

from typing import Final

from spoolscan.scanner.unpack.meter import Meter, Stream

_CLEAR: Final = 256
_LEAST_BITS: Final = 9
_MOST_BITS: Final = 16


def is_compress(data: bytes, at: int) -> bool:
    return data.startswith(b"\x1f\x9d", at)


def compress(data: bytes, at: int, meter: Meter) -> tuple[bytes, Stream]:
    """The stream at ``at``, which ends with the file.  Raises LimitReached."""
    flags = data[at + 2] if len(data) > at + 2 else 0
    if not _LEAST_BITS <= flags & 31 <= _MOST_BITS:
        return b"", Stream(b"", len(data), whole=False)
    codes = _Codes(flags & 31, first=257 if flags & 0x80 else 256)
    at += 3
    while at < len(data):
        # Codes come in groups of eight; where their width changes, the group is given up.
        width = codes.width
        group = data[at : at + width]
        at += width
        before = len(codes.out)
        whole = codes.read(int.from_bytes(group, "little"), len(group) * 8 // width)
        meter.take(len(codes.out) - before)
        meter.budget.take_bytes(max(0, len(group) - (len(codes.out) - before)))
        if at & 0x3FF < width:
            meter.budget.check_time()
        if not whole:
            return b"", Stream(bytes(codes.out), len(data), whole=False)
    return b"", Stream(bytes(codes.out), len(data), whole=True)


class _Codes:
    """The code table and the output it points into."""

    def __init__(self, bits: int, first: int) -> None:
        self.out = bytearray()
        self._most = 1 << bits
        self._bits = bits
        self._first = first
        self._reset()

    def _reset(self) -> None:
        self.width = _LEAST_BITS
        self._starts: list[int] = []  # of the strings from the first free code on
        self._lengths: list[int] = []
        self._last: tuple[int, int] | None = None  # where the string before this one stands

    def read(self, bits: int, count: int) -> bool:
        """Up to ``count`` codes, until the width changes; False where one means nothing."""
        width = self.width
        mask = (1 << width) - 1
        for _ in range(count):
            code = bits & mask
            bits >>= width
            if code == _CLEAR and self._first > _CLEAR:
                self._reset()
                return True
            if not self._put(code):
                return False
            free = self._first + len(self._starts)
            if free >= 1 << width and width < self._bits:
                self.width += 1
                return True
        return True

    def _put(self, code: int) -> bool:
        out, here = self.out, len(self.out)
        if self._last is not None and self._first + len(self._starts) < self._most:
            # Its last byte is the first that this code makes: it may stand nowhere yet.
            self._starts.append(self._last[0])
            self._lengths.append(self._last[1] + 1)
        if code < 256:
            out.append(code)
            self._last = (here, 1)
            return True
        number = code - self._first
        if not 0 <= number < len(self._starts):
            return False
        start, length = self._starts[number], self._lengths[number]
        out += out[start : start + length]
        if start + length > here:
            out.append(out[start])
        self._last = (here, length)
        return True
