"""Archives opened by 7-Zip and The Unarchiver, each run twice in a box (see `program`).

The first run lists the members, the second writes all their contents to its output, one behind the
other, which is then cut by the sizes in the list.  So nothing is written, and no name is a path.
Where list and output do not fit, the output is given whole, and a Doubt.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

from spoolscan.scanner.unpack.meter import Meter
from spoolscan.scanner.unpack.program import ARCHIVE, Result, is_there, run
from spoolscan.scanner.unpack.seam import Member
from spoolscan.verdict import Cause, Doubt

_LONGEST_LIST: Final = 1 << 24  # bytes


@dataclass(frozen=True, slots=True)
class Line:
    """One member in a list; ``size`` None where the program does not know it."""

    name: str
    size: int | None
    encrypted: bool


@dataclass(frozen=True, slots=True)
class Lister:
    """One program: how it lists, how that list is read, and how it unpacks."""

    listing: tuple[str, ...]
    unpacking: tuple[str, ...]
    lines: Callable[[bytes], list[Line]]

    def commands(self) -> list[tuple[str, ...]]:
        """All that is ever run for it."""
        values = (getattr(self, field.name) for field in fields(self))
        return [value for value in values if isinstance(value, tuple)]

    def missing(self) -> str | None:
        """What would have to be installed; None where all is there."""
        return None if is_there(self.unpacking[0]) else f"bwrap and {self.unpacking[0]}"

    def members(self, data: bytes, meter: Meter) -> Iterator[Member | Doubt]:
        """What the program finds in ``data``.  Raises LimitReached."""
        listing = run(self.listing, data, meter, most=_LONGEST_LIST)
        lines = self.lines(listing.output)
        for _ in lines:
            meter.member()
        if any(line.encrypted for line in lines):
            yield Doubt(Cause.ENCRYPTED, "archive has encrypted members")
            lines = [line for line in lines if line.name]
        if not listing.good:
            yield Doubt(Cause.UNREADABLE, "archive is broken, cut short, or of a kind not known")
        if lines and all(line.encrypted for line in lines):
            yield from (Member(line.name, b"") for line in lines)
        elif lines:
            yield from _cut(run(self.unpacking, data, meter), lines)


def _cut(unpacked: Result, lines: list[Line]) -> Iterator[Member | Doubt]:
    """The contents, each under its name."""
    output = unpacked.output
    fits = all(line.size is not None for line in lines)
    fits = fits and sum(line.size or 0 for line in lines) == len(output)
    at = 0
    for line in lines:
        size = line.size or 0
        yield Member(line.name, output[at : at + size] if fits else b"")
        at += size
    if output and not fits:
        yield Member("", output)
    if not (fits and unpacked.good):
        yield Doubt(Cause.UNREADABLE, "archive is broken, or not to be cut into its members")


def _of_7zip(output: bytes) -> list[Line]:
    """Blocks of lines "Key = value", as ``7zz l -slt -ba`` writes them."""
    lines: list[Line] = []
    for block in output.decode("utf-8", "replace").split("\n\n"):
        pairs = (line.partition(" = ") for line in block.split("\n"))
        values = {key: value for key, mark, value in pairs if mark}
        size = values.get("Size", "")
        folder = values.get("Folder") == "+" or "D" in values.get("Attributes", "").split(" ")[0]
        if "Path" not in values or (folder and size in {"", "0"}):
            continue
        number = int(size) if size.isascii() and size.isdigit() and len(size) < 20 else None
        lines.append(Line(values["Path"], number, values.get("Encrypted") == "+"))
    if not lines and b"encrypted archive" in output:
        lines.append(Line("", 0, encrypted=True))
    return lines


def _of_unar(output: bytes) -> list[Line]:
    """The JSON of ``lsar -j``."""
    try:
        listing = json.loads(output)
    except (ValueError, RecursionError):
        return []
    if not isinstance(listing, dict):
        return []
    lines: list[Line] = []
    contents = listing.get("lsarContents")
    for values in contents if isinstance(contents, list) else ():
        if isinstance(values, dict) and not values.get("XADIsDirectory"):
            size = values.get("XADFileSize")
            number = size if isinstance(size, int) and 0 <= size < 1 << 64 else None
            encrypted = bool(values.get("XADIsEncrypted"))
            lines.append(Line(str(values.get("XADFileName", "")), number, encrypted))
    properties: Any = listing.get("lsarProperties")
    if not lines and isinstance(properties, dict) and properties.get("XADIsEncrypted"):
        lines.append(Line("", 0, encrypted=True))
    return lines


SEVEN_ZIP: Final = Lister(
    ("/usr/bin/7zz", "l", "-slt", "-ba", "-sccUTF-8", "-p", "-bse1", "--", ARCHIVE),
    ("/usr/bin/7zz", "x", "-so", "-bd", "-mmt1", "-p", "--", ARCHIVE),
    _of_7zip,
)
UNAR: Final = Lister(
    ("/usr/bin/lsar", "-j", "-nr", ARCHIVE),
    ("/usr/bin/unar", "-q", "-nr", "-o", "-", ARCHIVE),
    _of_unar,
)
