"""Archives opened by borrowed tools, or by nobody: a doubt each, so never clean.

An archive is looked for where it begins the data, and behind other bytes as well, for archivers do
so too: self-extracting programs, pictures.  The tools of a format are asked in the order of the
table in `openers`, until one says that it came to the end; what any of them found is given.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from spoolscan.scanner.bounds import Budget
from spoolscan.scanner.content import sniff
from spoolscan.scanner.unpack import openers
from spoolscan.scanner.unpack.meter import Meter
from spoolscan.scanner.unpack.openers import FORMATS, Format
from spoolscan.scanner.unpack.seam import Member
from spoolscan.scanner.unpack.volumes import is_volume
from spoolscan.verdict import Cause, Doubt

_BURIED: Final = (
    (b"7z\xbc\xaf\x27\x1c\0", openers.SEVEN),
    (b"Rar!\x1a\x07\0", openers.RAR),
    (b"Rar!\x1a\x07\x01\0", openers.RAR),
    (b"MSCF\0\0\0\0", openers.CABINET),
)
# Where the mark stands says nothing of where the archive begins; the tools find that themselves.
_MARKED: Final = (
    (b"**ACE**\x14", openers.ACE),
    (b"\xef\xbe\xad\xdeNullsoftInst", openers.NSIS),
)
# A method of LZH with what comes before and behind it in a header: sizes, a time, and a level.
_LZH_METHOD: Final = rb"-(?:lh[0-9d]|lz[45s]|pm[0-2])-"
_LZH: Final = re.compile(rb"(?s)" + _LZH_METHOD + rb".{13}[\x00-\x03]")
# The main header of ARJ: its size, sizes and versions, the system, flags, and what it is of.
_ARJ: Final = re.compile(rb"(?s)\x60\xea([\x1e-\xff][\x00-\x0a])[\x1e-\x40]..[\x00-\x0b]..\x02")
# In one of the sectors from the sixteenth on: the beginning of the extended area, and the
# descriptor of the file system in it (ECMA-167 2/9).
_UDF: Final = (b"BEA01", b"NSR02", b"NSR03")
_UDF_SECTORS: Final = range(32769, 32769 + 16 * 2048, 2048)
_PROGRAMS: Final = ("application/x-dosexec", "application/octet-stream")  # that may hold LZH
_MOST_BURIED: Final = 16


@dataclass(frozen=True, slots=True)
class _Found:
    """An archive that begins at an offset, as far as is known."""

    form: Format
    at: int


class Borrowed:
    """Archives known by how they begin.  See the module."""

    name = "borrowed"

    def recognises(self, data: bytes) -> bool:
        return next(_begun(data), None) is not None

    def members(self, data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
        return _each(_begun(data), data, budget)


class Buried:
    """Archives behind other bytes.  See the module."""

    name = "buried"
    trace = b"|".join(
        [*(re.escape(mark) for mark, _ in (*_BURIED, *_MARKED)), _LZH_METHOD, _ARJ.pattern]
    )

    def recognises(self, data: bytes) -> bool:
        return next(_behind(data), None) is not None

    def members(self, data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
        return _each(_behind(data), data, budget)


def _each(archives: Iterator[_Found], data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
    for number, found in enumerate(archives):
        budget.check_time()
        if number == _MOST_BURIED:
            yield Doubt(Cause.LIMIT, f"more than {number} archives one behind the other")
            return
        yield from _open(data[found.at :], found.form, budget)


def _open(data: bytes, form: Format, budget: Budget) -> Iterator[Member | Doubt]:
    """What the tools find, each member once, and what they doubt.

    A tool is believed to have seen all only where it saw as many members as those before it.  Of
    an encrypted archive the next tool is asked as well, for it may see more names.
    """
    if is_volume(data):
        yield Doubt(Cause.UNREADABLE, "one volume of a split archive")
    given: set[Member] = set()
    locked: list[Doubt] = []
    there = [opener for opener in form.openers if opener.missing() is None]
    cause = Cause.UNREADABLE if there else Cause.UNOPENED
    lost = [Doubt(cause, f"{form.kind} are not opened{_for_want_of(form)}")]
    most, whole = 1, False
    for opener in there:
        doubts: list[Doubt] = []
        seen = 0
        for item in opener.members(data, Meter(budget, len(data))):
            if isinstance(item, Doubt):
                doubts.append(item)
                continue
            seen += item.name != ""
            if item not in given:
                given.add(item)
                yield item
        if doubts and all(doubt.cause is Cause.UNLOCKED for doubt in doubts):
            yield from doubts
            return
        encrypted = [doubt for doubt in doubts if doubt.cause is Cause.ENCRYPTED]
        locked += encrypted
        whole = whole or (doubts == encrypted and (bool(encrypted) or seen >= most))
        if whole and not locked:
            break
        most = max(most, seen)
        lost = [doubt for doubt in doubts if doubt not in encrypted] or lost
    yield from dict.fromkeys(locked if whole else locked + lost)


def _for_want_of(form: Format) -> str:
    wanted = [missing for opener in form.openers if (missing := opener.missing())]
    return f" without {' or '.join(wanted)}" if wanted else ""


def _begun(data: bytes) -> Iterator[_Found]:
    kind = sniff(data)
    if kind in FORMATS:
        yield _Found(FORMATS[kind], 0)
    if any(data.startswith(_UDF, sector) for sector in _UDF_SECTORS):
        yield _Found(openers.UDF, 0)


def _behind(data: bytes) -> Iterator[_Found]:
    """Every archive that begins further on; each mark is one search.

    No archive's word is taken for where it ends: it could be a cover over the next one.  So what
    is stored in another archive as it is may be found twice.
    """
    kind = sniff(data)
    if kind == "application/x-tar":
        return  # what lies in it comes out whole, and something behind its end is a doubt there
    for mark, form in _BURIED:
        at = data.find(mark, 1)
        while at >= 0:
            yield _Found(form, at)
            at = data.find(mark, at + len(mark))
    if kind in _PROGRAMS and (method := _LZH.search(data)) is not None:
        yield _Found(openers.LZH, max(0, method.start() - 2))
    for header in _ARJ.finditer(data, 1):
        start, size = header.start() + 4, int.from_bytes(header[1], "little")
        if zlib.crc32(data[start : start + size]) == int.from_bytes(
            data[start + size : start + size + 4], "little"
        ):
            yield _Found(openers.ARJ, header.start())
    for mark, form in _MARKED:
        if mark in data:
            yield _Found(form, 0)
