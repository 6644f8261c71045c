"""Which borrowed tool opens which format: the one literal table, and what of it is there.

Nothing here is needed to start: libraries and programs are looked for when an archive asks for
them, and what is absent makes its formats unreadable, never clean.  Formats we read ourselves are
not in the table; `capabilities` names them too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from spoolscan.scanner.unpack import library, office, zstd
from spoolscan.scanner.unpack.listed import SEVEN_ZIP, UNAR
from spoolscan.scanner.unpack.meter import Meter
from spoolscan.scanner.unpack.seam import Member
from spoolscan.verdict import Doubt


@dataclass(frozen=True, slots=True)
class Opener:
    """One tool for one format; ``missing`` names what must be installed first, or is None."""

    name: str
    missing: Callable[[], str | None]
    members: Callable[[bytes, Meter], Iterator[Member | Doubt]]


@dataclass(frozen=True, slots=True)
class Format:
    """``kind`` is what people call such files, in the plural; the first opener is asked first."""

    kind: str
    openers: tuple[Opener, ...] = ()


def _libarchive(*formats: str) -> Opener:
    members = functools.partial(library.members, formats=formats)
    return Opener("libarchive", library.missing, lambda data, meter: members(data, meter=meter))


_SEVEN_ZIP: Final = Opener("7zz", SEVEN_ZIP.missing, SEVEN_ZIP.members)
_UNAR: Final = Opener("unar", UNAR.missing, UNAR.members)
_DISK: Final = Format("disk images", (_SEVEN_ZIP,))

SEVEN: Final = Format("7z archives", (_libarchive("7zip"), _SEVEN_ZIP))
RAR: Final = Format("RAR archives", (_libarchive("rar", "rar5"), _UNAR))
CABINET: Final = Format("cabinets", (_libarchive("cab"), _SEVEN_ZIP, _UNAR))
LZH: Final = Format("LZH archives", (_libarchive("lha"), _UNAR, _SEVEN_ZIP))
ARJ: Final = Format("ARJ archives", (_SEVEN_ZIP, _UNAR))
ACE: Final = Format("ACE archives")
NSIS: Final = Format("NSIS installers", (_SEVEN_ZIP,))
UDF: Final = Format("disc images in UDF", (_SEVEN_ZIP,))

FORMATS: Final[dict[str, Format]] = {  # by what content.sniff says
    "application/x-7z-compressed": SEVEN,
    "application/vnd.rar": RAR,
    "application/vnd.ms-cab-compressed": CABINET,
    "application/x-lzh": LZH,
    "application/x-arj": ARJ,
    "application/x-zoo": Format("zoo archives", (_UNAR,)),
    "application/x-arc": Format("ARC archives", (_UNAR,)),
    "application/x-alz": Format("ALZ archives", (_UNAR,)),
    "application/x-xar": Format("xar archives", (_SEVEN_ZIP,)),
    "application/warc": Format("web archives (WARC)"),
    "application/x-ms-wim": Format("Windows images (WIM)", (_SEVEN_ZIP,)),
    "application/vnd.ms-htmlhelp": Format("help files (.chm)", (_SEVEN_ZIP,)),
    "application/x-squashfs": Format("squashfs images", (_SEVEN_ZIP,)),
    "application/x-raw-disk-image": _DISK,
    "application/x-vhd-disk": _DISK,
    "application/x-vhdx-disk": _DISK,
    "application/x-vmdk-disk": _DISK,
    "application/x-qemu-disk": _DISK,
    "application/x-virtualbox-vdi": _DISK,
    "application/x-apple-diskimage": _DISK,
    "application/x-ace": ACE,
    "application/x-egg": Format("EGG archives"),
    "application/x-installshield": Format("InstallShield cabinets"),
    "application/x-lrzip": Format("lrzip files"),
    "application/x-freeze": Format("freeze (.F) files"),
    "application/x-lzh-compress": Format("compress -H files"),
    "application/x-java-pack200": Format("pack200 files"),
    "application/vnd.ms-outlook": Format("Outlook stores"),
}


def capabilities() -> list[tuple[str, str | None]]:
    """Each format that is not opened by our own code alone, and what opens it here; None: nothing.

    Asks for every tool anew; makes no box (`program.box_works` does).
    """
    formats = dict.fromkeys([*FORMATS.values(), NSIS, UDF])
    found = [(form.kind, _how(form)) for form in formats]
    ours = (
        ("Zstandard files", zstd.missing, "zstandard"),
        ("encrypted documents", office.missing, "msoffcrypto-tool"),
    )
    return [
        *found,
        *((kind, None if missing() else f"python {name}") for kind, missing, name in ours),
    ]


def _how(form: Format) -> str | None:
    names = [opener.name for opener in form.openers if opener.missing() is None]
    return ", ".join(names) or None
