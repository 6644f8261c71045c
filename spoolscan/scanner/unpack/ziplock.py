"""Encrypted zip members, opened where one of the message's passwords fits.

Both kinds say at once of most passwords that they are wrong: the old one (APPNOTE 6.1) in one byte,
AES (WinZip's AE-1 and AE-2) in two.  Only what passes that is put into a zip of its own, and is
decrypted by libarchive, or by 7-Zip for methods that it does not know; checksum or authentication
code tell the rest.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import Final

from spoolscan.scanner.passwords import Key
from spoolscan.scanner.unpack import library, listed
from spoolscan.scanner.unpack.listed import SEVEN_ZIP
from spoolscan.scanner.unpack.meter import Meter
from spoolscan.scanner.unpack.seam import Member
from spoolscan.scanner.unpack.zipalone import archive
from spoolscan.scanner.unpack.zipheaders import Entry

_AES: Final = 99
_FIELD: Final = b"\x01\x99\x07\0"
_ENCRYPTED, _LAYOUT, _FOLLOWING = 1, 6, 8  # of the flags
_HEAD: Final = 12  # bytes in front of a member encrypted in the old way
_TABLE: Final = tuple(zlib.crc32(bytes([byte ^ 0xFF])) ^ 0xFF000000 for byte in range(256))


@dataclass(frozen=True, slots=True)
class Opened:
    """A member's content, and what opened it."""

    data: bytes
    key: Key


def opened(packed: bytes, entry: Entry, meter: Meter) -> Opened | None:
    """The member that is ``packed``; None where no password opens it.  Raises LimitReached."""
    if entry.method == _AES and len(entry.aes) != 7:
        return None
    extra = _FIELD + entry.aes if entry.method == _AES else b""
    flags = entry.flags & (_LAYOUT | _FOLLOWING) | _ENCRYPTED
    alone = archive(packed, entry, entry.method, flags, extra)
    for key in meter.budget.keys.tries():
        meter.budget.check_time()
        if _may_be(key.word.encode(), packed, entry):
            content = _content(alone, key, meter)
            if content is not None:
                meter.budget.keys.opened(key)
                return Opened(content, key)
    return None


def _content(alone: bytes, key: Key, meter: Meter) -> bytes | None:
    """The one member of an archive; None where this is not its password, or nobody opens it."""
    found = list(library.members(alone, ("zip",), meter, password=key.word))
    if len(found) == 1 and isinstance(found[0], Member) and found[0].opened:
        return found[0].data
    return None if SEVEN_ZIP.missing() else listed.content(SEVEN_ZIP, alone, key, meter)


def _may_be(word: bytes, packed: bytes, entry: Entry) -> bool:
    """Whether the password passes the short test."""
    if entry.method != _AES:
        right = {entry.crc >> 24}
        if entry.flags & _FOLLOWING:
            right.add(entry.time >> 8)
        return len(packed) > _HEAD and _last_of_head(word, packed) in right
    strength = entry.aes[4]
    if not 1 <= strength <= 3:
        return False
    salt, size = 4 + 4 * strength, 8 + 8 * strength
    made = hashlib.pbkdf2_hmac("sha1", word, packed[:salt], 1000, 2 * size + 2)
    return made[-2:] == packed[salt : salt + 2]


def _last_of_head(word: bytes, packed: bytes) -> int:
    """The twelfth byte, decrypted (APPNOTE 6.1.5 and 6.1.6)."""
    one, two, three = 0x12345678, 0x23456789, 0x34567890

    def take(byte: int) -> None:
        nonlocal one, two, three
        one = _TABLE[(one ^ byte) & 0xFF] ^ one >> 8
        two = ((two + (one & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
        three = _TABLE[(three ^ two >> 24) & 0xFF] ^ three >> 8

    for byte in word:
        take(byte)
    plain = 0
    for byte in packed[:_HEAD]:
        mixed = (three | 2) & 0xFFFF
        plain = byte ^ (mixed * (mixed ^ 1) >> 8 & 0xFF)
        take(plain)
    return plain
