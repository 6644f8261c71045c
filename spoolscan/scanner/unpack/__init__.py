"""The seam to what is inside: archives, documents, and files clothed as text.

A container is known by its bytes, never by its name, and may be several at once (a zip behind a
picture, an archive behind a program): every unpacker that recognises it is asked.  One that is
recognised and that nobody here opens is a doubt, so that it is never called clean.

Guarantees, held by tests/contracts/test_unpackers.py for every unpacker in the table:

- ``recognises`` and ``members`` raise nothing but LimitReached, whatever the bytes;
- members come lazily, each counted before it is made, its bytes while they are made;
- names are words only: nothing is ever written, and no name is used as a path;
- the same bytes give the same members.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from spoolscan.scanner.bounds import Budget
from spoolscan.scanner.unpack.armoured import BINHEX, UU, YENC
from spoolscan.scanner.unpack.cfb import Ole
from spoolscan.scanner.unpack.compressed import ACTIVEMIME, BZIP2, GZIP, LZMA, XZ
from spoolscan.scanner.unpack.html import Html
from spoolscan.scanner.unpack.rtf import Rtf
from spoolscan.scanner.unpack.seam import Member, Unpacker
from spoolscan.scanner.unpack.tar import Tar
from spoolscan.scanner.unpack.tnef import Tnef
from spoolscan.scanner.unpack.unopened import Unopened
from spoolscan.scanner.unpack.zip import Zip
from spoolscan.verdict import Doubt

__all__ = ["UNPACKERS", "Member", "Unpacker", "unpack"]

UNPACKERS: Final[tuple[Unpacker, ...]] = (
    Zip(),
    GZIP,
    BZIP2,
    XZ,
    LZMA,
    ACTIVEMIME,
    Tar(),
    Ole(),
    Rtf(),
    Tnef(),
    UU,
    YENC,
    BINHEX,
    Html(),
    Unopened(),
)


def unpack(data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
    """What every unpacker that recognises ``data`` finds in it.  Raises LimitReached."""
    for unpacker in UNPACKERS:
        if unpacker.recognises(data):
            budget.check_time()
            yield from unpacker.members(data, budget)
