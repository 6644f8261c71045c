"""OLE 1.0 embedded objects ([MS-OLEDS] section 2.2.5), and packages as Windows writes them.

A package is a file in a document, with a label, the path it came from, and its bytes: what a reader
gets by a double click.  Both functions never raise, and give None for what is no such thing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_EMBEDDED = 2


@dataclass(frozen=True, slots=True)
class Packed:
    """``names`` are the label and the two paths, each once."""

    names: tuple[str, ...]
    data: bytes


def ole_object(data: bytes) -> Packed | None:
    """An OLE 1.0 object: version, format, class, topic, item, and the native data."""
    if len(data) < 12 or struct.unpack_from("<L", data, 4)[0] != _EMBEDDED:
        return None
    at = 8
    class_name = b""
    for number in range(3):
        length = int.from_bytes(data[at : at + 4], "little")
        if length > 4096:
            return None
        if number == 0:
            class_name = data[at + 4 : at + 4 + length]
        at += 4 + length
    native = data[at + 4 : at + 4 + int.from_bytes(data[at : at + 4], "little")]
    if class_name.rstrip(b"\0").lower() == b"package":
        return package(native)
    return Packed(("",), native) if native else None


def ole10_native(data: bytes) -> Packed | None:
    """The stream "\\1Ole10Native": a length and then a package, or plain native data."""
    return package(data[4:])


def package(data: bytes) -> Packed | None:
    """Label, original path, temporary path, length, bytes."""
    if len(data) < 8:
        return None
    label, at = _string(data, 2)
    path, at = _string(data, at)
    at += 4
    length = int.from_bytes(data[at : at + 4], "little")
    temporary = data[at + 4 : at + 4 + length].split(b"\0")[0] if length < 4096 else b""
    at += 4 + length
    size = int.from_bytes(data[at : at + 4], "little")
    content = data[at + 4 : at + 4 + size]
    if not label or not content:
        return None
    names = (label, _last(path), _last(temporary))
    return Packed(tuple(dict.fromkeys(_text(name) for name in names if name)), content)


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    end = data.find(b"\0", at, at + 4096)
    return (b"", len(data)) if end < 0 else (data[at:end], end + 1)


def _last(path: bytes) -> bytes:
    return path.replace(b"/", b"\\").rpartition(b"\\")[2]


def _text(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("cp1252", "replace")
