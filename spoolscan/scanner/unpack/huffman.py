"""Bits, and codes of varying length, for formats that only we read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

_AT_ONCE: Final = 10  # bits of a code that are looked up in one step
_REFILL: Final = 32  # bytes


class EndOfBits(Exception):
    """More bits were asked for than there are."""


class Bits:
    """The bits of ``data`` from ``at`` on, the highest of a byte first."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at
        self._held = 0
        self._count = 0

    def peek(self, count: int) -> int:
        """The next ``count`` bits as a number, zeros where there are no more."""
        if self._count < count:
            more = self._data[self._at : self._at + _REFILL]
            self._at += len(more)
            self._held = (self._held & ((1 << self._count) - 1)) << 8 * len(more)
            self._held |= int.from_bytes(more)
            self._count += 8 * len(more)
            if self._count < count:
                return (self._held << count - self._count) & ((1 << count) - 1)
        return self._held >> (self._count - count) & ((1 << count) - 1)

    def skip(self, count: int) -> None:
        """Go on behind what was looked at.  Raises EndOfBits."""
        if count > self._count:
            raise EndOfBits
        self._count -= count

    def take(self, count: int) -> int:
        """The next ``count`` bits as a number.  Raises EndOfBits."""
        value = self.peek(count)
        self.skip(count)
        return value


class Code:
    """Symbols by the bits that stand for them."""

    def __init__(self, symbols: Mapping[tuple[int, int], int]) -> None:
        """``symbols`` by length in bits and code."""
        self._symbols = symbols
        self._longest = max((length for length, _ in symbols), default=0)
        self._short = [(0, 0)] * (1 << _AT_ONCE)
        for (length, code), symbol in symbols.items():
            if length <= _AT_ONCE and code < 1 << length:
                spread = _AT_ONCE - length
                first = code << spread
                self._short[first : first + (1 << spread)] = [(length, symbol)] * (1 << spread)

    def read(self, bits: Bits) -> int | None:
        """The next symbol; None where the bits are no code.  Raises EndOfBits."""
        length, symbol = self._short[bits.peek(_AT_ONCE)]
        if length:
            bits.skip(length)
            return symbol
        for length in range(_AT_ONCE + 1, self._longest + 1):
            found = self._symbols.get((length, bits.peek(length)))
            if found is not None:
                bits.skip(length)
                return found
        bits.take(1)  # at the end of the bits that is what is wrong
        return None


def canonical(lengths: Sequence[int]) -> Code:
    """A code by its lengths in bits, 0 where a symbol does not occur.

    Shorter codes come first, and among equals the lower symbol.
    """
    symbols: dict[tuple[int, int], int] = {}
    code = 0
    for length in range(1, max(lengths, default=0) + 1):
        for symbol, its in enumerate(lengths):
            if its == length:
                symbols[length, code] = symbol
                code += 1
        code <<= 1
    return Code(symbols)


def is_complete(lengths: Sequence[int]) -> bool:
    """Whether with these lengths, 16 at most, all bits mean something, and nothing two things."""
    return sum(1 << 16 >> length for length in lengths if length) == 1 << 16
