"""pack (.z), the compress of System V: one Huffman code for the whole file.

For the table in `compressed`.  As gzip reads it: unpack.c.
"""

from __future__ import annotations

from typing import Final

from spoolscan.scanner.unpack.huffman import Bits, Code, EndOfBits
from spoolscan.scanner.unpack.meter import Meter, Stream

_MAGIC: Final = b"\x1f\x1e"
_DEEPEST: Final = 25  # bits of the longest code
_SYMBOLS: Final = 256
_END: Final = 256
_LOOK: Final = 4096  # bytes between two looks at the bounds


def is_pack(data: bytes, at: int) -> bool:
    return data.startswith(_MAGIC, at)


def pack(data: bytes, at: int, meter: Meter) -> tuple[bytes, Stream]:
    """The one stream of the file, which ends with a code of its own.  Raises LimitReached."""
    wanted = int.from_bytes(data[at + 2 : at + 6])
    depth = int.from_bytes(data[at + 6 : at + 7])
    counts = list(data[at + 7 : at + 7 + depth])
    if not 0 < depth <= _DEEPEST or len(counts) < depth or sum(counts) + 1 > _SYMBOLS:
        return b"", Stream(b"", len(data), whole=False)
    counts[-1] += 1  # the last level is told without the two that must be there
    at += 7 + depth
    symbols = data[at : at + sum(counts)]
    counts[-1] += 1  # the end mark, the last code of the last level
    code = _code(counts, symbols)
    out = bytearray()
    bits = Bits(data, at + len(symbols))
    whole = False
    counted = 0
    try:
        while len(out) <= wanted:
            symbol = code.read(bits)
            if symbol is None or symbol == _END:
                whole = symbol == _END and len(out) == wanted
                break
            out.append(symbol)
            if len(out) - counted > _LOOK:
                meter.take(len(out) - counted)
                meter.budget.check_time()
                counted = len(out)
    except EndOfBits:
        pass
    meter.take(len(out) - counted)
    return b"", Stream(bytes(out), len(data), whole)


def _code(counts: list[int], symbols: bytes) -> Code:
    """On each level the low codes go on, the others are symbols; the last of all is the end."""
    found: dict[tuple[int, int], int] = {}
    values = [*symbols, _END]
    inner, stop = 0, len(values)
    for length in range(len(counts), 0, -1):
        inner >>= 1
        count = counts[length - 1]
        for place, symbol in enumerate(values[stop - count : stop]):
            found[length, inner + place] = symbol
        stop -= count
        inner += count
    return Code(found)
