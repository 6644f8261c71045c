"""The seam to what is inside: archives, documents, and files clothed as text.

A container is known by its bytes, never by its name, and may be several at once (a zip behind a
picture, an archive behind a program): every unpacker that recognises it is asked.  One that is
recognised and that nobody here opens is a doubt, so that it is never called clean.

Most kinds are known by how they begin.  Those that can begin anywhere leave a trace each, and one
pass over the bytes tells which of these are worth asking.

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
from spoolscan.scanner.traces import Traces
from spoolscan.scanner.unpack.ar import Ar
from spoolscan.scanner.unpack.armoured import BINHEX, UU, YENC
from spoolscan.scanner.unpack.borrowed import Borrowed, Buried
from spoolscan.scanner.unpack.cfb import Ole
from spoolscan.scanner.unpack.compressed import (
    ACTIVEMIME,
    BZIP2,
    COMPRESS,
    GZIP,
    KWAJ,
    LZ4,
    LZIP,
    LZMA,
    LZOP,
    PACK,
    SNAPPY,
    SZDD,
    XZ,
    ZLIB,
)
from spoolscan.scanner.unpack.cpio import Cpio
from spoolscan.scanner.unpack.html import Html
from spoolscan.scanner.unpack.iso9660 import Iso9660
from spoolscan.scanner.unpack.onenote import OneNote
from spoolscan.scanner.unpack.openers import capabilities
from spoolscan.scanner.unpack.pdf import Pdf
from spoolscan.scanner.unpack.rpm import Rpm
from spoolscan.scanner.unpack.rtf import Rtf
from spoolscan.scanner.unpack.seam import Anywhere, Member, Unpacker
from spoolscan.scanner.unpack.shortcut import Shortcut
from spoolscan.scanner.unpack.smime import Smime
from spoolscan.scanner.unpack.tar import Tar
from spoolscan.scanner.unpack.tnef import Tnef
from spoolscan.scanner.unpack.zip import Zip
from spoolscan.scanner.unpack.zstd import Zstd
from spoolscan.verdict import Doubt

__all__ = ["ANYWHERE", "TRACES", "UNPACKERS", "Member", "Unpacker", "capabilities", "unpack"]

_BY_BEGINNING: Final[tuple[Unpacker, ...]] = (
    GZIP,
    BZIP2,
    XZ,
    LZMA,
    Zstd(),
    LZIP,
    LZ4,
    COMPRESS,
    LZOP,
    SNAPPY,
    PACK,
    SZDD,
    KWAJ,
    ZLIB,
    ACTIVEMIME,
    Tar(),
    Cpio(),
    Ar(),
    Rpm(),
    Iso9660(),
    Ole(),
    OneNote(),
    Shortcut(),
    Rtf(),
    Tnef(),
    Html(),
    Smime(),
    Borrowed(),
)
ANYWHERE: Final[tuple[Anywhere, ...]] = (Zip(), Pdf(), UU, YENC, BINHEX, Buried())
TRACES: Final = Traces([unpacker.trace for unpacker in ANYWHERE])
UNPACKERS: Final[tuple[Unpacker, ...]] = (*_BY_BEGINNING, *ANYWHERE)


def unpack(data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
    """What every unpacker that recognises ``data`` finds in it.  Raises LimitReached."""
    for unpacker in (*_BY_BEGINNING, *map(ANYWHERE.__getitem__, TRACES.seen(data))):
        if unpacker.recognises(data):
            budget.check_time()
            yield from unpacker.members(data, budget)
