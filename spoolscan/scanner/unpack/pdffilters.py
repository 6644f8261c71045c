"""The filters of PDF streams (ISO 32000-1, 7.4): Flate, LZW, hexadecimal, base 85, run length.

Filters of pictures and sound are not ours.  A stream that breaks off gives what came before.
"""

from __future__ import annotations

import base64
import re
import struct
from typing import Any, Final

from spoolscan.scanner.unpack.meter import Meter, inflate

_SHORT: Final = {"Fl": "FlateDecode", "LZW": "LZWDecode", "AHx": "ASCIIHexDecode",
                 "A85": "ASCII85Decode", "RL": "RunLengthDecode"}  # fmt: skip
_NOTHING: Final = re.compile(rb"[\s\0]+")
_NOT_HEX: Final = re.compile(rb"[^0-9A-Fa-f]")
_NOT_85: Final = re.compile(rb"[^!-uz]")
_PREDICTED: Final = ("FlateDecode", "Fl", "LZWDecode", "LZW")
_TIFF, _PNG = 2, 10
_MOST_FILTERS: Final = 8
_LONGEST_ROW: Final = 1 << 24  # bytes
_CLEAR, _END = 256, 257


_Made = tuple[bytes, bool]  # content, and whether it is all there


def decoded(data: bytes, about: dict[str, Any], meter: Meter) -> _Made | None:
    """A stream's content by all its filters, and whether none of them broke off.

    None where one is not ours.  Raises LimitReached.
    """
    whole = True
    names = _listed(about.get("Filter"))
    parameters = _listed(about.get("DecodeParms", about.get("DP")))
    if len(names) > _MOST_FILTERS:
        return None
    for number, name in enumerate(names):
        settings = parameters[number] if number < len(parameters) else None
        settings = settings if isinstance(settings, dict) else {}
        made = _by(_SHORT.get(str(name), str(name)), data, settings, meter)
        if made is None:
            return None
        data, whole = made[0], whole and made[1]
        if str(name) in _PREDICTED:
            plain = _unpredicted(data, settings, meter)
            data, whole = (data, False) if plain is None else (plain, whole)
    return data, whole


def _listed(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def _by(name: str, data: bytes, settings: dict[str, Any], meter: Meter) -> _Made | None:
    if name == "FlateDecode":
        return _flate(data, meter)
    if name == "LZWDecode":
        return _lzw(data, early=settings.get("EarlyChange") != 0, meter=meter)
    if name == "RunLengthDecode":
        return _run_length(data, meter), True
    if name not in {"ASCIIHexDecode", "ASCII85Decode", "Crypt"}:
        return None
    meter.take(len(data))
    if name == "ASCIIHexDecode":
        digits = _NOT_HEX.sub(b"", data.partition(b">")[0])
        return bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode()), True
    return _base85(data) if name == "ASCII85Decode" else (data, True)


def _flate(data: bytes, meter: Meter) -> _Made:
    """zlib, or what is left of it: readers do without a right header and without a checksum."""
    start = 2 if data[:1] and data[0] & 15 == 8 and int.from_bytes(data[:2]) % 31 == 0 else 0
    stream = inflate(data, start, len(data), meter)
    return stream.data, stream.whole


def _base85(data: bytes) -> _Made:
    letters = _NOT_85.sub(b"", data.lstrip().removeprefix(b"<~").partition(b"~")[0])
    pieces: list[bytes] = []
    for run in re.findall(rb"z|[^z]+", letters):  # a group is never cut by a z in a good one
        if len(run) % 5 == 1 and run != b"z":
            run = run[:-1]  # noqa: PLW2901  # one letter is no byte
        try:
            pieces.append(base64.a85decode(run))
        except (ValueError, struct.error):
            return b"".join(pieces), False
    return b"".join(pieces), True


def _run_length(data: bytes, meter: Meter) -> bytes:
    pieces: list[bytes] = []
    at = 0
    while at < len(data) and (count := data[at]) != 128:
        if count < 128:
            piece = data[at + 1 : at + 2 + count]
            at += 2 + count
        else:
            piece = data[at + 1 : at + 2] * (257 - count)
            at += 2
        meter.take(len(piece))
        pieces.append(piece)
    return b"".join(pieces)


def _lzw(data: bytes, *, early: bool, meter: Meter) -> _Made:
    """7.4.4: codes of 9 to 12 bits, the highest bit first."""
    start = [bytes([byte]) for byte in range(256)] + [b"", b""]
    table, width, last = list(start), 9, b""
    pieces: list[bytes] = []
    held = count = 0
    for byte in data:
        held, count = (held << 8 | byte) & 0xFFFFFF, count + 8
        if count < width:
            continue
        count -= width
        code = held >> count & ((1 << width) - 1)
        if code == _END:
            break
        if code == _CLEAR:
            table, width, last = list(start), 9, b""
            continue
        if code > len(table) or (code == len(table) and not last):
            return b"".join(pieces), False
        piece = table[code] if code < len(table) else last + last[:1]
        if last and len(table) < 4096:
            table.append(last + piece[:1])
        meter.take(len(piece))
        pieces.append(piece)
        last = piece
        width = min(12, max(9, (len(table) + early).bit_length()))
    return b"".join(pieces), True


def _unpredicted(data: bytes, settings: dict[str, Any], meter: Meter) -> bytes | None:
    """Predictors undone (7.4.4.4); None where that is not ours to do.  Raises LimitReached."""
    predictor = _number(settings, "Predictor", 1)
    if predictor == 1:
        return data
    depth = _number(settings, "BitsPerComponent", 8)
    bits = _number(settings, "Colors", 1) * depth
    step = max(1, bits // 8)
    size = (bits * _number(settings, "Columns", 1) + 7) // 8
    if not 0 < size <= _LONGEST_ROW or step > size:
        return None
    if predictor == _TIFF:
        return _untiffed(data, step, size, meter) if depth == 8 else None
    return _unpinged(data, step, size, meter) if predictor >= _PNG else None


def _untiffed(data: bytes, step: int, size: int, meter: Meter) -> bytes:
    """TIFF's predictor, of whole bytes."""
    out = bytearray(data)
    for at in range(0, len(out), size):
        meter.budget.check_time()
        for place in range(at + step, min(at + size, len(out))):
            out[place] = out[place] + out[place - step] & 0xFF
    return bytes(out)


def _unpinged(data: bytes, step: int, size: int, meter: Meter) -> bytes:
    out = bytearray()
    above = bytearray(size)
    for at in range(0, len(data), size + 1):
        meter.budget.check_time()
        row = bytearray(data[at + 1 : at + 1 + size])
        for place, byte in enumerate(row):
            left = row[place - step] if place >= step else 0
            corner = above[place - step] if place >= step else 0
            row[place] = byte + _guess(data[at], left, above[place], corner) & 0xFF
        out += row
        above = row.ljust(size, b"\0")
    return bytes(out)


def _guess(kind: int, left: int, up: int, corner: int) -> int:
    if kind == 4:  # Paeth's: whichever is nearest to left + up - corner
        guess = left + up - corner
        return min((left, up, corner), key=lambda value: abs(guess - value))
    return (0, left, up, (left + up) // 2)[kind] if kind < 4 else 0


def _number(settings: dict[str, Any], key: str, default: int) -> int:
    """0 for what is no number, and for what no reader would take."""
    value = settings.get(key, default)
    return value if isinstance(value, int) and 0 < value < 1 << 31 else 0
