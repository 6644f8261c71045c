"""MS-DOS compress (SZDD and QBasic's SZ): LZSS over a window of 4096 bytes.

For the table in `compressed`, and for `kwaj`.
"""

from __future__ import annotations

from typing import Final

from spoolscan.scanner.unpack.meter import Meter, Stream, repeat

_SZDD: Final = b"SZDD\x88\xf0\x27\x33"
_QBASIC: Final = b"SZ \x88\xf0\x27\x33"
_WINDOW: Final = 4096
_LEAST: Final = 3  # bytes a repetition is long


def is_szdd(data: bytes, at: int) -> bool:
    return data.startswith((_SZDD, _QBASIC), at)


def szdd(data: bytes, at: int, meter: Meter) -> tuple[bytes, Stream]:
    """The one stream of the file; ``whole`` as its header tells the size.  Raises LimitReached."""
    head, write = (14, 16) if data.startswith(_SZDD, at) else (12, 18)
    wanted = int.from_bytes(data[at + head - 4 : at + head], "little")
    content = expand(data, at + head, write, wanted, meter)
    return b"", Stream(content, len(data), len(content) == wanted)


def expand(data: bytes, at: int, write: int, wanted: int | None, meter: Meter) -> bytes:
    """What is packed from ``at`` on, ``wanted`` bytes of it where that is known.

    ``write`` is where the output begins, counted from the end of the ring of `_WINDOW` bytes.
    Raises LimitReached.
    """
    # Repetitions point into a ring that begins full of blanks: it is what stands before the output.
    out = bytearray(b" " * _WINDOW)
    shift = _WINDOW - write
    while at < len(data) and (wanted is None or len(out) - _WINDOW < wanted):
        flags, before = data[at], len(out)
        at += 1
        for bit in range(8):
            if flags >> bit & 1:
                out += data[at : at + 1]
                at += 1
            elif at + 1 < len(data):
                low, high = data[at], data[at + 1]
                at += 2
                here = len(out)
                distance = (shift + here - (low | (high & 0xF0) << 4)) % _WINDOW or _WINDOW
                repeat(out, distance, (high & 15) + _LEAST)
        meter.take(len(out) - before)
        if not at & 0x3FF:
            meter.budget.check_time()
    return bytes(out[_WINDOW:] if wanted is None else out[_WINDOW : _WINDOW + wanted])
