"""Archives that are made to be unpacked for ever: each a small file of our own making."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import struct
import subprocess
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from containers import object_stream, pdf, pdf_stream, snappy

from spoolscan.cli.specimens import PAYLOAD, compressed, lz4

_MEGABYTE: Final = 1 << 20


def _zip(*files: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in files:
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, 8)
    return buffer.getvalue()


def nested_zips() -> bytes:
    """Sixteen zips in each of sixteen, five deep, and 64 MiB in the last."""
    made = _zip(("zeros", bytes(64 * _MEGABYTE)))
    for _ in range(5):
        made = _zip(*[(f"{number}.zip", made) for number in range(16)])
    return made


def one_zip_in_another() -> bytes:
    made = PAYLOAD
    for _ in range(300):
        made = _zip(("again.zip", made))
    return made


def _local(name: bytes, packed: int, size: int, crc: int) -> bytes:
    about = (20, 0, 8, 0, 0x21, crc, packed, size, len(name), 0)
    return b"PK\3\4" + struct.pack("<5HLLLHH", *about) + name


def overlapping_members() -> bytes:
    """Each member's data begins with a stored block that holds the next one's header."""
    coder = zlib.compressobj(9, zlib.DEFLATED, -15)
    kernel = coder.compress(bytes(16 * _MEGABYTE)) + coder.flush()
    content = bytes(16 * _MEGABYTE)
    size, crc, body = len(content), zlib.crc32(content), kernel
    headers: list[tuple[int, bytes, int, int, int]] = []
    number = 0
    while number < 250:
        header = _local(b"%04d" % number, len(body), size, crc)
        headers.append((len(body) + len(header), b"%04d" % number, len(body), size, crc))
        body = b"\0" + struct.pack("<HH", len(header), len(header) ^ 0xFFFF) + header + body
        size += len(header)
        crc = zlib.crc32(content, zlib.crc32(header)) if number == 0 else 0
        number += 1
    body = body[5:]
    central = b""
    for behind, name, packed, its_size, its_crc in reversed(headers):
        about = (20, 0, 8, 0, 0x21, its_crc, packed, its_size, len(name), 0)
        central += b"PK\1\2\x14\0" + struct.pack("<5HLLLHH", *about)
        central += struct.pack("<HHHLL", 0, 0, 0, 0, len(body) - behind) + name
    end = struct.pack("<4H2LH", 0, 0, 250, 250, len(central), len(body), 0)
    return body + central + b"PK\5\6" + end


def one_member_a_thousand_times() -> bytes:
    """A directory that lists one member under a thousand names."""
    made = _zip(("0000", bytes(16 * _MEGABYTE)))
    at, end = made.index(b"PK\1\2"), made.index(b"PK\5\6")
    entry = made[at:end]
    listed = b"".join(entry[:-4] + b"%04d" % number for number in range(1000))
    tail = struct.pack("<4H2LH", 0, 0, 1000, 1000, len(listed), at, 0)
    return made[:at] + listed + b"PK\5\6" + tail


def a_hundred_thousand_members() -> bytes:
    header = _local(b"a", 2, 0, 0) + b"\3\0"
    return header * 100_000


def gzips() -> bytes:
    made = bytes(400 * _MEGABYTE)
    for _ in range(4):
        made = gzip.compress(made, 9, mtime=0)
    return made


def gzip_members() -> bytes:
    return gzip.compress(b"", mtime=0) * 100_000


def zstd() -> bytes:
    block = (0x20000 << 3 | 2).to_bytes(3, "little") + b"\0"
    return b"\x28\xb5\x2f\xfd\0\x70" + block * 99_999


def sevens() -> bytes:
    """7z in 7z, forty deep."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "zeros"
        path.write_bytes(bytes(64 * _MEGABYTE))
        for number in range(40):
            made = Path(folder) / f"{number}.7z"
            argv = ["7zz", "a", "-mx1", "-bd", str(made), str(path)]
            subprocess.run(argv, capture_output=True, check=True)
            path.unlink()
            path = made
        return path.read_bytes()


def seven_of_zeros() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "zeros").write_bytes(bytes(300 * _MEGABYTE))
        argv = ["7zz", "a", "-bd", "made.7z", "zeros"]
        subprocess.run(argv, cwd=folder, capture_output=True, check=True)
        return (Path(folder) / "made.7z").read_bytes()


def pdf_filters() -> bytes:
    packed = zlib.compress(zlib.compress(zlib.compress(bytes(300 * _MEGABYTE), 9), 9), 9)
    return pdf(pdf_stream(packed, b"/Type /EmbeddedFile /Filter [ /Fl /Fl /Fl ]"))


def pdf_objects() -> bytes:
    return pdf(*[object_stream(*[(9, b"[" * 95 + b"/JS ")] * 99)] * 999)


def encrypted_members() -> bytes:
    """A thousand members, each of which every word of the message is tried on."""
    made = _zip(*[(f"{number}.txt", PAYLOAD) for number in range(1000)])
    return made.replace(b"PK\3\4\x14\0\0\0", b"PK\3\4\x14\0\1\0").replace(
        b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0"
    )


BOMBS: Final[dict[str, Callable[[], bytes]]] = {
    "zips in zips": nested_zips,
    "a zip in a zip in a zip": one_zip_in_another,
    "zip: overlapping members": overlapping_members,
    "zip: a member of many names": one_member_a_thousand_times,
    "zip: many members": a_hundred_thousand_members,
    "zip: many encrypted members": encrypted_members,
    "gzip in gzip": gzips,
    "gzip: many members": gzip_members,
    "bzip2 of zeros": lambda: bz2.compress(bytes(300 * _MEGABYTE)),
    "xz of zeros": lambda: lzma.compress(bytes(300 * _MEGABYTE), preset=1),
    "zstd of zeros": zstd,
    "LZ4 of one letter": lambda: lz4(*[b"\x1fa\1\0" + b"\xff" * 256 + b"\0\x10!"] * 9999),
    "Snappy of two letters": lambda: snappy(*[b"\xc2\xff\3\x04ab" + b"\xfe\2\0" * 1023] * 999),
    "compress of one letter": lambda: compressed([97, *range(257, 455)] * 9999),
    "7z in 7z": sevens,
    "7z of zeros": seven_of_zeros,
    "PDF: filter on filter": pdf_filters,
    "PDF: object streams": pdf_objects,
}


def mail(name: str, bomb: bytes) -> bytes:
    """A letter with the bomb attached, and words that could be passwords."""
    return (
        b"From: a@example.org\r\nSubject: see below\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"
        + b" ".join(b"word%d" % number for number in range(300))
        + b'\r\n--b\r\nContent-Type: application/octet-stream; name="'
        + name.encode()
        + b'"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        + base64.encodebytes(bomb).replace(b"\n", b"\r\n")
        + b"--b--\r\n"
    )
