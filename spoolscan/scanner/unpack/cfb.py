"""OLE compound files ([MS-CFB]): documents before 2007, .msg, .msi, VBA projects.

Not every stream is a member: a document has dozens that only its program reads, and engines see the
whole file anyway.  Members are the streams that are something by their content, embedded packages,
the attachments and bodies of an Outlook message, and the source of macros, or what is known of it.
An encrypted document is opened where a password is known (`office`), else a doubt.  The streams
themselves are read in compound.py.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from spoolscan.scanner.bounds import Budget
from spoolscan.scanner.content import sniff
from spoolscan.scanner.unpack import biff, lzfu, office, ovba, powerpoint
from spoolscan.scanner.unpack.compound import SIGNATURE, Compound, Entry
from spoolscan.scanner.unpack.meter import Meter
from spoolscan.scanner.unpack.package import ole10_native
from spoolscan.scanner.unpack.seam import Member, unlocked
from spoolscan.verdict import Cause, Doubt

_PACKAGES: Final = frozenset(("\1ole10native", "package", "contents"))
_UNREMARKABLE: Final = frozenset(("application/octet-stream", "text/plain", "image/emf"))
_PROPERTY: Final = "__substg1.0_"
_ATTACHMENT_NAMES: Final = ("3707001F", "3707001E", "3704001F", "3704001E", "3001001F", "3001001E")
_BODIES: Final = {
    "10130102": "message.html", "1013001F": "message.html", "1013001E": "message.html",
    "1000001F": "message.txt", "1000001E": "message.txt", "10090102": "message.rtf",
}  # fmt: skip
_WORKBOOKS: Final = frozenset(("workbook", "book"))
_LOCKED: Final = Doubt(Cause.ENCRYPTED, "document is encrypted")
_WORD_ENCRYPTED: Final = 0x0100
_FILEPASS: Final = 0x002F


class Ole:
    """See the module."""

    name = "OLE"

    def recognises(self, data: bytes) -> bool:
        return data.startswith(SIGNATURE)

    def members(self, data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
        meter = Meter(budget, len(data))
        compound = Compound(data, budget)
        locked = False
        if compound.broken:
            yield Doubt(Cause.UNREADABLE, "OLE file is broken or cut short")
        for entry in compound.streams:
            budget.check_time()
            content = compound.read(entry)
            meter.take(len(content))
            for found in _members(compound, entry, content, meter):
                if found == _LOCKED:
                    locked = True
                    continue
                if isinstance(found, Member):
                    meter.member()
                yield found
        if locked:
            yield from _opened(data, meter)


def _opened(data: bytes, meter: Meter) -> Iterator[Member | Doubt]:
    """An encrypted document as a member that is not, where a password is known."""
    found = office.opened(data, meter)
    if found is None:
        yield _LOCKED
        return
    content, key = found
    meter.member()
    yield unlocked("document", key)
    yield Member("", content)


def _members(
    compound: Compound, entry: Entry, content: bytes, meter: Meter
) -> Iterator[Member | Doubt]:
    name = entry.name.casefold()
    if entry.name.startswith(_PROPERTY):
        yield from _outlook(compound, entry, content, meter)
    elif _is_encrypted(name, content):
        yield _LOCKED
    elif name == "\1ole10native" and (packed := ole10_native(content)) is not None:
        for packed_name in packed.names:
            yield Member(packed_name, packed.data)
    elif compound.parent_name(entry).casefold() == "vba":
        source = ovba.source(content, meter)
        if source:
            yield Member(compound.path(entry), source)
    elif name in _WORKBOOKS and (words := biff.macros(content, meter)):
        yield Member(f"{compound.path(entry)}.xlm", words)
    elif name == "powerpoint document":
        for storage in powerpoint.storages(content, meter):
            yield Member("", storage)
    elif name in _PACKAGES or sniff(content) not in _UNREMARKABLE:
        yield Member(compound.path(entry), content)


def _outlook(
    compound: Compound, entry: Entry, content: bytes, meter: Meter
) -> Iterator[Member | Doubt]:
    """A property of an Outlook message ([MS-OXMSG] section 2.1.3)."""
    tag = entry.name[len(_PROPERTY) :].upper()
    if tag == "37010102":
        yield Member(_attachment_name(compound, entry), content)
    elif tag in _BODIES:
        expanded = lzfu.expand(content, meter) if tag == "10090102" else None
        if tag.endswith("001F"):
            expanded = content.decode("utf-16-le", "replace").encode()
        yield Member(_BODIES[tag], content if expanded is None else expanded)


def _attachment_name(compound: Compound, entry: Entry) -> str:
    siblings = {other.name: other for other in compound.siblings(entry)}
    for tag in _ATTACHMENT_NAMES:
        other = siblings.get(_PROPERTY + tag)
        if other is not None and (value := compound.read(other)):
            encoding = "utf-16-le" if tag.endswith("1F") else "cp1252"
            return value.decode(encoding, "replace").rstrip("\0")
    return ""


def _is_encrypted(name: str, content: bytes) -> bool:
    """Word's flag ([MS-DOC] FibBase), Excel's FilePass record ([MS-XLS] 2.4.117)."""
    if name == "worddocument" and len(content) >= 12:
        return bool(struct.unpack_from("<H", content, 10)[0] & _WORD_ENCRYPTED)
    if name in _WORKBOOKS:
        at = 0
        for _ in range(16):  # FilePass stands behind BOF and few others
            if at + 4 > len(content):
                break
            kind, length = struct.unpack_from("<HH", content, at)
            if kind == _FILEPASS:
                return True
            at += 4 + length
    return name in {"encryptedpackage", "encryptedsummary"}
