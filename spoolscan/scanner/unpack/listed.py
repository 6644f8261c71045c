"""Archives opened by 7-Zip and The Unarchiver, each run twice in a box (see `program`).

The first run lists the members, the second writes all their contents to its output, one behind the
other, which is then cut by the sizes in the list.  So nothing is written, and no name is a path.
Where list and output do not fit, the output is given whole, and a Doubt.

An archive that is encrypted is tried with the message's passwords.  A password is an argument of
the program, which others on this host may see while it runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from spoolscan.scanner.passwords import Key
from spoolscan.scanner.unpack.meter import Meter
from spoolscan.scanner.unpack.program import ARCHIVE, Result, is_there, run
from spoolscan.scanner.unpack.seam import Member, unlocked
from spoolscan.verdict import Cause, Doubt

_LONGEST_LIST: Final = 1 << 24  # bytes
_WRONG_PASSWORD: Final = 15  # XADMaster's XADPasswordError
_BLANK: Final = "\0"  # where the password goes: no argument can have it, and no password has


@dataclass(frozen=True, slots=True)
class Line:
    """One member in a list; ``size`` None where the program does not know it."""

    name: str
    size: int | None
    encrypted: bool


@dataclass(frozen=True, slots=True)
class Lister:
    """One program: how it lists, how that list is read, how it unpacks, and how it tests.

    Commands have the password, "" for none, where `_BLANK` stands in them.
    """

    listing: tuple[str, ...]
    unpacking: tuple[str, ...]
    testing: tuple[str, ...]
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
        listing = run(_with("", self.listing), data, meter, most=_LONGEST_LIST)
        lines = self.lines(listing.output)
        if any(line.encrypted for line in lines) and (key := self._key(data, meter)) is not None:
            yield unlocked("archive", key)
            listing = run(_with(key.word, self.listing), data, meter, most=_LONGEST_LIST)
            lines = [replace(line, encrypted=False) for line in self.lines(listing.output)]
            word = key.word
        else:
            word = ""
        for _ in lines:
            meter.member()
        if any(line.encrypted for line in lines):
            yield Doubt(Cause.ENCRYPTED, "archive has encrypted members")
            lines = [line for line in lines if line.name]
        if not listing.good:
            yield Doubt(Cause.UNREADABLE, "archive is broken, cut short, or of a kind not known")
        if lines and all(line.encrypted for line in lines):
            yield from (Member(line.name, b"", opened=False) for line in lines)
        elif lines:
            yield from _cut(run(_with(word, self.unpacking), data, meter), lines)

    def _key(self, data: bytes, meter: Meter) -> Key | None:
        """The first password that the program finds right, if any."""
        for key in meter.budget.keys.tries():
            if run(_with(key.word, self.testing), data, meter, most=_LONGEST_LIST).good:
                meter.budget.keys.opened(key)
                return key
        return None


def content(program: Lister, data: bytes, key: Key, meter: Meter) -> bytes | None:
    """All that an archive holds, one behind the other; None where the password is wrong."""
    unpacked = run(_with(key.word, program.unpacking), data, meter)
    return unpacked.output if unpacked.good else None


def _with(word: str, argv: tuple[str, ...]) -> list[str]:
    return [part.replace(_BLANK, word) for part in argv]


def _cut(unpacked: Result, lines: list[Line]) -> Iterator[Member | Doubt]:
    """The contents, each under its name."""
    output = unpacked.output
    fits = all(line.size is not None for line in lines)
    fits = fits and sum(line.size or 0 for line in lines) == len(output)
    at = 0
    for line in lines:
        size = line.size or 0
        locked = line.encrypted and not fits
        yield Member(line.name, output[at : at + size] if fits else b"", opened=not locked)
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
        if not size and values.get("Type") == "hardlink":  # in xar, of what stands elsewhere
            size = "0"
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
    locked = isinstance(properties, dict) and properties.get("XADIsEncrypted")
    if not lines and (locked or listing.get("lsarError") == _WRONG_PASSWORD):
        lines.append(Line("", 0, encrypted=True))
    return lines


SEVEN_ZIP: Final = Lister(
    ("/usr/bin/7zz", "l", "-slt", "-ba", "-sccUTF-8", f"-p{_BLANK}", "-bse1", "--", ARCHIVE),
    ("/usr/bin/7zz", "x", "-so", "-bd", "-mmt1", f"-p{_BLANK}", "--", ARCHIVE),
    ("/usr/bin/7zz", "t", "-bd", "-mmt1", f"-p{_BLANK}", "--", ARCHIVE),
    _of_7zip,
)
UNAR: Final = Lister(
    ("/usr/bin/lsar", "-j", "-nr", "-p", _BLANK, ARCHIVE),
    ("/usr/bin/unar", "-q", "-nr", "-p", _BLANK, "-o", "-", ARCHIVE),
    ("/usr/bin/lsar", "-t", "-nr", "-p", _BLANK, ARCHIVE),
    _of_unar,
)
