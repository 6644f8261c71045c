"""ar archives, and with them Debian packages: System V and GNU names, and those of BSD.

Tables of names and of symbols are not members.  Never raises but LimitReached.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from spoolscan.scanner.bounds import Budget
from spoolscan.scanner.unpack.meter import Meter
from spoolscan.scanner.unpack.seam import Member, text
from spoolscan.verdict import Cause, Doubt

_MAGIC: Final = b"!<arch>\n"
_HEADER: Final = 60
_SYMBOLS: Final = (b"/", b"/SYM64/", b"__.SYMDEF", b"__.SYMDEF SORTED")


class Ar:
    """See the module."""

    name = "ar"

    def recognises(self, data: bytes) -> bool:
        return data.startswith(_MAGIC)

    def members(self, data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
        meter = Meter(budget, len(data))
        at, long_names = len(_MAGIC), b""
        while data.startswith(b"`\n", at + 58):
            name, digits = data[at : at + 16].rstrip(b" "), data[at + 48 : at + 58].rstrip(b" ")
            if not digits.isdigit():
                break
            start, end = at + _HEADER, at + _HEADER + int(digits)
            at = end + end % 2
            if name == b"//":
                long_names = data[start:end]
                continue
            if name.startswith(b"#1/") and name[3:].isdigit():
                start, name = _bsd(data, start, min(end, start + int(name[3:])))
            elif name.startswith(b"/") and name[1:].isdigit():
                name = _listed(long_names, int(name[1:]))
            if name in _SYMBOLS:
                continue
            meter.member()
            meter.take(end - start)
            yield Member(text(name.removesuffix(b"/")), data[start:end])
        if at < len(data) or at > len(data) + 1:
            yield Doubt(Cause.UNREADABLE, "ar archive is broken or cut short")


def _bsd(data: bytes, start: int, behind: int) -> tuple[int, bytes]:
    """A name that stands before the content: where the content begins, and the name."""
    return behind, data[start:behind].rstrip(b"\0")


def _listed(names: bytes, at: int) -> bytes:
    """GNU ends the names in its table with a slash and a line end, others with a zero byte."""
    return names[at : at + 4096].partition(b"\n")[0].partition(b"\0")[0]
