"""TNEF, Outlook's winmail.dat ([MS-OXTNEF]): every attachment whole, and the bodies.

An attachment has up to four names; it is given once for each that ends differently, the long one
first.  A message inside is TNEF again and is given as it is.  Checksums are not believed.  Lengths
are: a stream that breaks off is a doubt.  Never raises but LimitReached; reads each byte a fixed
number of times.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from spoolscan.scanner.bounds import Budget
from spoolscan.scanner.unpack import lzfu
from spoolscan.scanner.unpack.mapi import (
    ATTACH_DATA,
    ATTACH_FILENAME,
    ATTACH_LONG_FILENAME,
    BODIES,
    DISPLAY_NAME,
    OBJECT,
    RTF_COMPRESSED,
    Property,
    as_text,
    properties,
)
from spoolscan.scanner.unpack.meter import Meter
from spoolscan.scanner.unpack.seam import Member
from spoolscan.verdict import Cause, Doubt

_SIGNATURE: Final = b"\x78\x9f\x3e\x22"
_ATTRIBUTE: Final = struct.Struct("<BHHL")
_RENDERING, _TITLE, _DATA, _TRANSPORT_NAME = 0x9002, 0x8010, 0x800F, 0x9001
_MESSAGE_PROPERTIES, _ATTACHMENT_PROPERTIES, _BODY, _PICTURE = 0x9003, 0x9005, 0x800C, 0x8011
_CLASS_ID: Final = 16  # bytes before an object's own


@dataclass(slots=True)
class _Attachment:
    """What has been read of one so far."""

    names: dict[int, str] = field(default_factory=dict)
    contents: list[bytes] = field(default_factory=list)
    picture: bytes = b""  # what stands for it in the text

    def members(self, meter: Meter) -> Iterator[Member]:
        order = (ATTACH_LONG_FILENAME, _TITLE, ATTACH_FILENAME, _TRANSPORT_NAME, DISPLAY_NAME)
        names: dict[str, str] = {}
        for key in order:
            name = self.names.get(key, "")
            if name:
                names.setdefault(name.rpartition(".")[2].casefold() if "." in name else "", name)
        if len(names) > 1:
            names.pop("", None)  # a title without an ending tells nothing more
        for content in self.contents or ([b""] if names else []):
            for name in names.values() or ("",):
                meter.take(len(content))
                yield Member(name, content)
        yield from _member("", self.picture, meter)


class Tnef:
    """See the module."""

    name = "TNEF"

    def recognises(self, data: bytes) -> bool:
        return data.startswith(_SIGNATURE)

    def members(self, data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
        meter = Meter(budget, len(data))
        attachment: _Attachment | None = None
        at = 6
        while at + _ATTRIBUTE.size <= len(data):
            level, kind, _, length = _ATTRIBUTE.unpack_from(data, at)
            start = at + _ATTRIBUTE.size
            at = start + length + 2
            if level not in {1, 2} or start + length > len(data):
                yield Doubt(Cause.UNREADABLE, "TNEF is broken or cut short")
            if level not in {1, 2}:
                break
            body = data[start : start + length]
            if kind == _RENDERING or (level == 2 and attachment is None):
                if attachment is not None:
                    yield from attachment.members(meter)
                meter.member()
                attachment = _Attachment()
            if kind == _MESSAGE_PROPERTIES:
                yield from _bodies(body, meter)
            elif kind == _BODY:
                yield from _member("", body.rstrip(b"\0"), meter)
            elif attachment is not None:
                _note(attachment, kind, body)
        if attachment is not None:
            yield from attachment.members(meter)


def _note(attachment: _Attachment, kind: int, body: bytes) -> None:
    """Take in one attribute of an attachment."""
    if kind in {_TITLE, _TRANSPORT_NAME}:
        attachment.names[kind] = as_text(body)
    elif kind == _DATA:
        attachment.contents.append(body)
    elif kind == _PICTURE:
        attachment.picture = body
    elif kind == _ATTACHMENT_PROPERTIES:
        for found in properties(body):
            if found.key in {ATTACH_LONG_FILENAME, ATTACH_FILENAME, DISPLAY_NAME}:
                attachment.names[found.key] = found.text
            elif found.key == ATTACH_DATA:
                attachment.contents.append(_content(found))


def _content(found: Property) -> bytes:
    return found.value[_CLASS_ID:] if found.kind == OBJECT else found.value


def _bodies(body: bytes, meter: Meter) -> Iterator[Member]:
    for found in properties(body):
        if found.key == RTF_COMPRESSED:
            yield from _member("message.rtf", lzfu.expand(found.value, meter) or found.value, meter)
        elif found.key in BODIES:
            yield from _member(BODIES[found.key], found.value, meter)
        elif found.key == ATTACH_DATA:
            yield from _member("", _content(found), meter)


def _member(name: str, content: bytes, meter: Meter) -> Iterator[Member]:
    if content:
        meter.member()
        meter.take(len(content))
        yield Member(name, content)
