"""EICAR in every encoding and format we claim to read: the table behind ``spoolscan selftest``.

A `Disguise` puts a file into something else; put on several times, it is nested so deep.  What a
packer is needed for says so when there is none.
"""

from __future__ import annotations

import base64
import binascii
import bz2
import lzma
import quopri
import shutil
import subprocess
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spoolscan.cli import specimens
from spoolscan.scanner.engines.proof import EICAR

_PATIENCE: Final = 60.0  # seconds for a packer
_SMALLEST: Final = 300  # bytes that some formats must have at least; EICAR may end in blanks
# Of no kind, for it is the content that tells; and short, for why.txt cuts a path of 200 letters.
NAME: Final = "e.dat"


@dataclass(frozen=True, slots=True)
class Disguise:
    """``put_on`` takes a file and its name; ``packer`` is the program it needs; ``kind`` is what
    `capabilities` calls the format where we need help to open it."""

    title: str
    put_on: Callable[[bytes, str], bytes]
    packer: str | None = None
    kind: str | None = None

    @property
    def is_there(self) -> bool:
        return self.packer is None or shutil.which(self.packer) is not None


def _zip(method: int) -> Callable[[bytes, str], bytes]:
    return lambda data, name: specimens.zipped((name, data), method=method)


def _ole(data: bytes, name: str) -> bytes:
    return specimens.compound(("\1Ole10Native", b"\0\0\0\0" + specimens.package(name, data)))


def _rtf(data: bytes, name: str) -> bytes:
    return specimens.rtf(specimens.ole_object(specimens.package(name, data)))


def _lz4(data: bytes, _: str) -> bytes:
    """One block of literals."""
    more = len(data) - 15
    return specimens.lz4(b"\xf0" + b"\xff" * (more // 255) + bytes([more % 255]) + data)


def _html(data: bytes, _: str) -> bytes:
    link = base64.b64encode(data)
    return b'<html><a download href="data:application/octet-stream;base64,' + link + b'">x</a>'


def _active_mime(data: bytes, _: str) -> bytes:
    return b"ActiveMime".ljust(50, b"\0") + zlib.compress(data)


def _padded(build: Callable[[bytes, str], bytes]) -> Callable[[bytes, str], bytes]:
    return lambda data, name: build(data.ljust(_SMALLEST), name)


def _swapped(build: Callable[[str, bytes], bytes]) -> Callable[[bytes, str], bytes]:
    return lambda data, name: build(name, data)


def _unnamed(build: Callable[[bytes], bytes]) -> Callable[[bytes, str], bytes]:
    return lambda data, _: build(data)


def _packed(*argv: str) -> Callable[[bytes, str], bytes]:
    """By a program, which is given {out} and {in} in an empty directory."""

    def put_on(data: bytes, name: str) -> bytes:
        with tempfile.TemporaryDirectory(prefix="spoolscan-packer-") as folder:
            place = Path(folder)
            (place / name).write_bytes(data)
            words = [word.format(out="packed", **{"in": name}) for word in argv]
            subprocess.run(words, cwd=place, capture_output=True, check=True, timeout=_PATIENCE)
            made = next(path for path in place.iterdir() if path.name.startswith("packed"))
            return made.read_bytes()

    return put_on


def _by_7zip(*options: str) -> Callable[[bytes, str], bytes]:
    return _packed("7zz", "a", "-bd", *options, "{out}", "{in}")


FORMATS: Final = (
    Disguise("zip", _zip(zipfile.ZIP_DEFLATED)),
    Disguise("zip, stored", _zip(zipfile.ZIP_STORED)),
    Disguise("zip, bzip2", _zip(zipfile.ZIP_BZIP2)),
    Disguise("zip, lzma", _zip(zipfile.ZIP_LZMA)),
    Disguise("zip, no directory", lambda data, name: specimens.without_directory(
        specimens.zipped((name, data)))),
    Disguise("tar", _swapped(specimens.tarred)),
    Disguise("gzip", specimens.gzipped),
    Disguise("bzip2", _unnamed(bz2.compress)),
    Disguise("xz", _unnamed(lzma.compress)),
    Disguise("lzma", _unnamed(lambda data: lzma.compress(data, lzma.FORMAT_ALONE))),
    Disguise("lzip", _unnamed(specimens.lzip)),
    Disguise("LZ4", _lz4),
    Disguise("compress (.Z)", _unnamed(lambda data: specimens.compressed(list(data)))),
    Disguise("Zstandard", _padded(_unnamed(specimens.zstd)), kind="Zstandard files"),
    Disguise("SZDD", _unnamed(specimens.szdd)),
    Disguise("cpio", _swapped(specimens.cpio)),
    Disguise("ar", lambda data, name: specimens.ar((name, data))),
    Disguise("RPM", _unnamed(specimens.rpm)),
    Disguise("ISO 9660", lambda data, name: specimens.iso((name, data))),
    Disguise("OLE package", _ole),
    Disguise("RTF object", _rtf),
    Disguise("TNEF", _swapped(specimens.winmail)),
    Disguise("ActiveMime", _active_mime),
    Disguise("HTML, data: URI", _html),
    Disguise("S/MIME, signed", _unnamed(specimens.smime)),
    Disguise("uuencode", specimens.uuencoded),
    Disguise("yEnc", specimens.yencoded),
    Disguise("BinHex", specimens.binhexed),
    Disguise("7z", _padded(_swapped(specimens.seven_zip)), kind="7z archives"),
    Disguise("RAR", _swapped(specimens.rar), kind="RAR archives"),
    Disguise("cabinet", _swapped(specimens.cabinet), kind="cabinets"),
    Disguise("LZH", _swapped(specimens.lzh), kind="LZH archives"),
    Disguise("7z, LZMA2", _by_7zip("-t7z"), "7zz", "7z archives"),
    Disguise("zip, Deflate64", _by_7zip("-tzip", "-mm=Deflate64"), "7zz", "7z archives"),
    Disguise("zip, PPMd", _by_7zip("-tzip", "-mm=PPMd"), "7zz", "7z archives"),
    Disguise("WIM", _by_7zip("-twim"), "7zz", "Windows images (WIM)"),
    Disguise("ARJ", _packed("arj", "a", "-i", "{out}.arj", "{in}"), "arj", "ARJ archives"),
    Disguise("ISO with Joliet", _packed(
        "genisoimage", "-quiet", "-J", "-R", "-o", "{out}", "{in}"), "genisoimage"),
)  # fmt: skip


def nested(disguises: tuple[Disguise, ...], depth: int) -> bytes:
    """EICAR in so many disguises, one over the other, in turn.

    Raises OSError, SubprocessError where a packer fails.
    """
    data, name = EICAR, NAME
    for level in range(depth):
        data = disguises[level % len(disguises)].put_on(data, name)
        name = f"{level + 1}.dat"
    return data


# ---- messages

_HEAD: Final = b"From: alice@example.org\r\nTo: bob@example.com\r\nSubject: selftest\r\n"
_MIME: Final = b"MIME-Version: 1.0\r\n"


def attached(data: bytes, name: str = "s.dat") -> bytes:
    """A message with one file, in base64."""
    return (
        _HEAD
        + _MIME
        + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nsee below\r\n--b\r\n'
        + f'Content-Type: application/octet-stream; name="{name}"\r\n'.encode()
        + b"Content-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(data).replace(b"\n", b"\r\n")
        + b"--b--\r\n"
    )


def _single(encoding: bytes, body: bytes, kind: bytes = b"application/octet-stream") -> bytes:
    fields = b"Content-Type: " + kind + b"\r\nContent-Transfer-Encoding: " + encoding
    return _HEAD + _MIME + fields + b"\r\n\r\n" + body + b"\r\n"


def _text(body: bytes) -> bytes:
    """A letter in the old way, without MIME."""
    return _HEAD + b"\r\nDear Bob,\r\n\r\n" + body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _lines(data: bytes) -> bytes:
    return data.replace(b"\n", b"\r\n")


ENCODINGS: Final[dict[str, Callable[[], bytes]]] = {
    "base64": lambda: attached(EICAR),
    "base64 with junk": lambda: _single(
        b"base64", b"!".join(base64.b64encode(EICAR)[at : at + 5] for at in range(0, 92, 5))
    ),
    "quoted-printable": lambda: _single(
        b"quoted-printable", _lines(quopri.encodestring(EICAR, quotetabs=True))
    ),
    "quoted-printable, all": lambda: _single(
        b"quoted-printable", b"=\r\n".join(b"=%02X" % byte for byte in EICAR)
    ),
    "7bit": lambda: _single(b"7bit", EICAR),
    "8bit": lambda: _single(b"8bit", b"\xe4\xf6\xfc" + EICAR),
    "binary": lambda: _single(b"binary", EICAR),
    "x-uuencode": lambda: _single(b"x-uuencode", _lines(specimens.uuencoded(EICAR, NAME))),
    "uuencode in a text": lambda: _text(specimens.uuencoded(EICAR, NAME)),
    "yEnc in a text": lambda: _text(specimens.yencoded(EICAR, NAME)),
    "BinHex in a text": lambda: _text(specimens.binhexed(EICAR, NAME)),
    "base64 in a text": lambda: _text(
        b"begin-base64 644 " + NAME.encode() + b"\n" + base64.encodebytes(EICAR) + b"====\n"
    ),
    "mislabelled as 7bit": lambda: _single(b"7bit", binascii.b2a_base64(EICAR)),
    "UTF-16 text": lambda: _single(
        b"base64", base64.encodebytes(EICAR.decode().encode("utf-16")).replace(b"\n", b"\r\n"),
        b"text/plain; charset=utf-16",
    ),
}  # fmt: skip


def forwarded(message: bytes, times: int) -> bytes:
    """A message in so many messages."""
    for _ in range(times):
        fields = b"Content-Type: message/rfc822\r\n\r\n"
        message = _HEAD + _MIME + fields + message
    return message
