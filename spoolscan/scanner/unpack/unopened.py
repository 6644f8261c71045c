"""Archives that are recognised and that nothing here opens: a doubt each, so never clean.

An archiver that looks for its mark behind other bytes (a self-extracting program, a picture) finds
it here too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from spoolscan.scanner.bounds import Budget
from spoolscan.scanner.content import sniff
from spoolscan.scanner.unpack.seam import Member
from spoolscan.verdict import Cause, Doubt

_KINDS: Final = {
    "application/x-7z-compressed": "7z archives",
    "application/vnd.rar": "RAR archives",
    "application/vnd.ms-cab-compressed": "cabinets",
    "application/x-ms-compress": "files packed by MS-DOS compress (SZDD, KWAJ)",
    "application/x-installshield": "InstallShield cabinets",
    "application/x-arj": "ARJ archives",
    "application/x-lzh": "LZH archives",
    "application/x-zoo": "zoo archives",
    "application/x-arc": "ARC archives",
    "application/x-ace": "ACE archives",
    "application/x-alz": "ALZ archives",
    "application/x-egg": "EGG archives",
    "application/x-xar": "xar archives",
    "application/x-archive": "ar archives",
    "application/x-cpio": "cpio archives",
    "application/warc": "web archives (WARC)",
    "application/x-rpm": "RPM packages",
    "application/x-ms-wim": "Windows images",
    "application/zstd": "Zstandard files",
    "application/x-lz4": "LZ4 files",
    "application/x-lzop": "lzop files",
    "application/x-lzip": "lzip files",
    "application/x-lrzip": "lrzip files",
    "application/x-snappy-framed": "Snappy files",
    "application/x-compress": "compress (.Z) files",
    "application/x-freeze": "freeze (.F) files",
    "application/x-lzh-compress": "compress -H files",
    "application/x-pack": "pack (.z) files",
    "application/x-java-pack200": "pack200 files",
    "application/x-iso9660-image": "disc images",
    "application/x-raw-disk-image": "disk images",
    "application/x-vhd-disk": "disk images",
    "application/x-vhdx-disk": "disk images",
    "application/x-vmdk-disk": "disk images",
    "application/x-qemu-disk": "disk images",
    "application/x-apple-diskimage": "disk images",
    "application/x-squashfs": "squashfs images",
    "application/vnd.ms-htmlhelp": "help files (.chm)",
    "application/onenote": "OneNote files",
    "application/vnd.ms-outlook": "Outlook stores",
}
_BURIED: Final = (
    (b"7z\xbc\xaf\x27\x1c\0", "7z archives"),
    (b"Rar!\x1a\x07\0", "RAR archives"),
    (b"Rar!\x1a\x07\x01\0", "RAR archives"),
    (b"**ACE**\x14", "ACE archives"),
    (b"MSCF\0\0\0\0", "cabinets"),
    (b"\xef\xbe\xad\xdeNullsoftInst", "NSIS installers"),
    (b"LHA's SFX", "LZH archives"),
    (b"LHarc's SFX", "LZH archives"),
)


class Unopened:
    """See the module."""

    name = "unopened"

    def recognises(self, data: bytes) -> bool:
        return next(_found(data), None) is not None

    def members(self, data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
        budget.check_time()
        for what in dict.fromkeys(_found(data)):
            yield Doubt(Cause.UNREADABLE, f"{what} are not opened")


def _found(data: bytes) -> Iterator[str]:
    kind = _KINDS.get(sniff(data))
    if kind is not None:
        yield kind
    for mark, buried in _BURIED:
        if mark in data:
            yield buried
