"""Archives opened by libarchive, in this process: 7z, RAR, cabinets, LZH, web archives.

The system's libarchive is called by ctypes, through a dozen functions.  The Python package
libarchive-c is not used: importing it runs ldconfig and a compiler to find the library, it writes
the library's words, which are the sender's, into the log, and it cannot ask what is encrypted.

Only the formats asked for are switched on and never a filter: with its usual "all" the library
would run programs for compressions it lacks, and open files named by an mtree listing.  It sees
bytes in memory, gives bytes, and is never told to write.

Its faults are Doubts; only LimitReached is raised.  A fault of memory in the library ends the
worker process it runs in.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any, Final

from spoolscan.scanner.unpack.meter import Meter
from spoolscan.scanner.unpack.seam import Member, text
from spoolscan.verdict import Cause, Doubt

_LIBRARY: Final = "libarchive.so.13"
_END, _WARN, _FATAL = 1, -20, -30
_DIRECTORY: Final = 0o040000
_CHUNK: Final = 1 << 18
# Those an archive may say its names are in; LZH and RAR by a number, of those that glibc has.
_CHARSETS: Final = (
    *("UTF-16LE", "UTF-16BE", "UTF-16", "UCS-2LE", "KOI8-R", "KOI8-U", "EUC-JP", "ISO-8859-1"),
    *(f"CP{page}" for page in (437, 737, 775, 850, 852, 855, 857, *range(860, 867), 869, 874)),
    *(f"CP{page}" for page in (932, 936, 949, 950, *range(1250, 1259), 1361)),
)

_P, _INT, _STRING = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
_CALLS: Final[dict[str, tuple[Any, list[Any]]]] = {
    "archive_read_new": (_P, []),
    "archive_read_free": (_INT, [_P]),
    "archive_read_add_passphrase": (_INT, [_P, _STRING]),
    "archive_read_open_memory": (_INT, [_P, _STRING, ctypes.c_size_t]),
    "archive_read_next_header": (_INT, [_P, ctypes.POINTER(_P)]),
    "archive_read_data": (ctypes.c_ssize_t, [_P, _P, ctypes.c_size_t]),
    "archive_read_has_encrypted_entries": (_INT, [_P]),
    "archive_format": (_INT, [_P]),
    "archive_error_string": (_STRING, [_P]),
    "archive_entry_pathname_utf8": (_STRING, [_P]),
    "archive_entry_pathname": (_STRING, [_P]),
    "archive_entry_filetype": (ctypes.c_uint, [_P]),
    "archive_entry_is_encrypted": (_INT, [_P]),
}


def missing() -> str | None:
    """What would have to be installed; None where the library is there."""
    return None if _load() else _LIBRARY


def members(
    data: bytes, formats: tuple[str, ...], meter: Meter, password: str = ""
) -> Iterator[Member | Doubt]:
    """What libarchive finds in ``data`` when it may take it for these formats.

    ``formats`` are ends of archive_read_support_format_*; a Doubt UNREADABLE where it did not
    come to the end.  With a ``password`` encrypted members are asked for too.  Raises LimitReached.
    """
    library = _load()
    if library is None:
        yield Doubt(Cause.UNREADABLE, f"{_LIBRARY} is not there")
        return
    archive = library.archive_read_new()
    try:
        for name in formats:
            getattr(library, f"archive_read_support_format_{name}")(_P(archive))
        if password:
            library.archive_read_add_passphrase(archive, password.encode())
        if library.archive_read_open_memory(archive, data, len(data)) < _WARN:
            yield _trouble(library, archive)
        else:
            yield from _entries(library, archive, meter, unlocked=password != "")
    finally:
        library.archive_read_free(archive)


def _entries(
    library: ctypes.CDLL, archive: int, meter: Meter, *, unlocked: bool
) -> Iterator[Member | Doubt]:
    entry = _P()
    while (status := library.archive_read_next_header(archive, ctypes.byref(entry))) >= _WARN:
        if status == _END:
            break
        meter.member()
        name = _name(library, entry)
        if library.archive_entry_is_encrypted(entry) and not unlocked:
            yield Member(name, b"", opened=False)
            yield Doubt(Cause.ENCRYPTED, "archive member is encrypted")
            continue
        content, status = _content(library, archive, meter)
        if content or library.archive_entry_filetype(entry) != _DIRECTORY:
            yield Member(name, content)
        if status < 0:
            yield _trouble(library, archive)
        if status <= _FATAL:
            return
    if status != _END:
        yield _trouble(library, archive)
    elif not unlocked and _has_encrypted(library, archive):
        yield Doubt(Cause.ENCRYPTED, "archive has encrypted members")


def _content(library: ctypes.CDLL, archive: int, meter: Meter) -> tuple[bytes, int]:
    """One member's bytes, as far as they come, and 0 or what broke them off."""
    buffer = ctypes.create_string_buffer(_CHUNK)
    pieces: list[bytes] = []
    while (count := library.archive_read_data(archive, buffer, _CHUNK)) > 0:
        meter.take(count)
        meter.budget.check_time()
        pieces.append(buffer.raw[:count])
    return b"".join(pieces), count


def _name(library: ctypes.CDLL, entry: ctypes.c_void_p) -> str:
    name = library.archive_entry_pathname_utf8(entry) or library.archive_entry_pathname(entry)
    return text(name or b"")


def _trouble(library: ctypes.CDLL, archive: int) -> Doubt:
    """The library's complaint is only looked at, for it may quote the sender."""
    words = (library.archive_error_string(archive) or b"").lower()
    if b"encrypt" in words or _has_encrypted(library, archive):
        return Doubt(Cause.ENCRYPTED, "archive is encrypted")
    return Doubt(Cause.UNREADABLE, "archive is broken, cut short, or of a kind not known")


def _has_encrypted(library: ctypes.CDLL, archive: int) -> bool:
    """Asked only of an archive whose format is known: of another, 3.6.2 looks through NULL."""
    known: int = library.archive_format(archive)
    return bool(known) and library.archive_read_has_encrypted_entries(archive) == 1


def _load() -> ctypes.CDLL | None:
    """The library, its functions typed; None where it is absent.  The system keeps it loaded."""
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
    for name, (result, arguments) in _CALLS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def load() -> None:
    """Have in memory what else would be looked for on the disk while an archive is read.

    libarchive turns names into UTF-8 by iconv(3), which loads a module for each charset.
    """
    libc = ctypes.CDLL(None)
    libc.iconv_open.restype = _P
    if _load():
        for charset in _CHARSETS:
            libc.iconv_open(b"UTF-8", charset.encode("ascii"))  # and never closed: it stays
