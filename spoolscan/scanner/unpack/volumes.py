"""Whether an archive is one volume of several: then no tool sees all of it, whatever it says.

Reads the first headers only; never raises.
"""

from __future__ import annotations

from typing import Final

_VOLUME: Final = 1
_OF_A_SET: Final = 3  # a cabinet has one before it, or one behind it
_RAR4: Final = b"Rar!\x1a\x07\0"
_RAR5: Final = b"Rar!\x1a\x07\x01\0"
_MAIN: Final = 1
_EXTRA: Final = 1
_ARJ: Final = b"\x60\xea"
_ARJ_CONTINUED, _ARJ_CONTINUES = 4, 8


def is_volume(data: bytes) -> bool:
    """Whether the RAR or ARJ archive or the cabinet that begins ``data`` says so of itself."""
    if data.startswith(b"MSCF"):
        return bool(int.from_bytes(data[30:32], "little") & _OF_A_SET)
    if data.startswith(_RAR4):
        return bool(int.from_bytes(data[10:12], "little") & _VOLUME)
    if data.startswith(_ARJ):
        return _arj(data)
    return data.startswith(_RAR5) and _rar5(data[12:60])


def _rar5(header: bytes) -> bool:
    """Size, type, flags, perhaps the size of an extra area, then the archive's own flags."""
    _, header = _number(header)
    kind, header = _number(header)
    flags, header = _number(header)
    if flags & _EXTRA:
        _, header = _number(header)
    return kind == _MAIN and bool(_number(header)[0] & _VOLUME)


def _arj(data: bytes) -> bool:
    """The archive's header tells that another volume follows, its first file's that one came."""
    second = 8 + int.from_bytes(data[2:4], "little")
    extended = int.from_bytes(data[second : second + 2], "little")
    second += 2 + (extended + 4 if extended else 0)
    flags, file_flags = data[8:9] or b"\0", data[second + 8 : second + 9] or b"\0"
    return bool(flags[0] & _ARJ_CONTINUED or file_flags[0] & _ARJ_CONTINUES)


def _number(data: bytes) -> tuple[int, bytes]:
    """Seven bits a byte, the lowest first, while the eighth is set; and what stands behind."""
    value = 0
    for place, byte in enumerate(data[:10]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, data[place + 1 :]
    return value, b""
