"""Compressed RTF, as Outlook keeps message bodies ([MS-OXRTFCP]).

``expand`` never raises but LimitReached: what breaks off gives what came before.
"""

from __future__ import annotations

import struct
from typing import Final

from spoolscan.scanner.unpack.meter import Meter

_COMPRESSED: Final = b"LZFu"
_STORED: Final = b"MELA"
_HEADER: Final = 16
_WINDOW: Final = 4096
_PRESET: Final = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript "
    rb"\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0"
    b"\r\n"
    rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)


def expand(data: bytes, meter: Meter) -> bytes | None:
    """The RTF; None where this is no compressed RTF.  Raises LimitReached."""
    kind = data[8:12]
    if len(data) < _HEADER or kind not in {_COMPRESSED, _STORED}:
        return None
    packed, size = struct.unpack_from("<LL", data)
    if kind == _STORED:
        meter.take(len(data) - _HEADER)
        return data[_HEADER : _HEADER + size]
    return _expand(data[_HEADER : packed + 4], meter)


def _expand(packed: bytes, meter: Meter) -> bytes:
    """Groups of eight: a byte as it is, or two bytes that point into the last 4096."""
    window = bytearray(_PRESET.ljust(_WINDOW, b"\0"))
    write = len(_PRESET)
    plain = bytearray()
    at = taken = 0
    while at < len(packed):
        control = packed[at]
        at += 1
        for bit in range(8):
            if not control >> bit & 1:
                piece = packed[at : at + 1]
                at += 1
            else:
                pair = int.from_bytes(packed[at : at + 2])
                at += 2
                read = pair >> 4
                if at > len(packed) or read == write % _WINDOW:
                    meter.take(len(plain) - taken)
                    return bytes(plain)
                piece = _copy(window, read, write, (pair & 15) + 2)
            for byte in piece:
                window[write % _WINDOW] = byte
                write += 1
            plain += piece
        if len(plain) - taken > _WINDOW:
            meter.take(len(plain) - taken)
            meter.budget.check_time()
            taken = len(plain)
    meter.take(len(plain) - taken)
    return bytes(plain)


def _copy(window: bytearray, read: int, write: int, count: int) -> bytes:
    """``count`` bytes from ``read`` on; those not written yet are the first ones again."""
    distance = (write - read) % _WINDOW
    fresh = bytes(window[(read + index) % _WINDOW] for index in range(min(count, distance)))
    return (fresh * (count // len(fresh) + 1))[:count]
