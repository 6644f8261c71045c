"""Containers that the self-test has no need of, and one specimen of every kind (`SPECIMENS`)."""

from __future__ import annotations

import base64
import bz2
import lzma
import struct
import zlib

from spoolscan.cli.specimens import (
    NAME,
    PAYLOAD,
    ar,
    binhexed,
    compound,
    compressed,
    cpio,
    gzipped,
    iso,
    lz4,
    lzip,
    ole_object,
    package,
    rpm,
    rtf,
    seven_zip,
    smime,
    szdd,
    tarred,
    uuencoded,
    winmail,
    yencoded,
    zipped,
    zstd,
)

PLAIN = b"Dear all,\r\nthe figures you asked for are below, with kind regards.\r\n"


def patched(archive: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    """Bytes put over those at ``offset`` behind the first ``signature``."""
    at = archive.index(signature) + offset
    return archive[:at] + value + archive[at + len(value) :]


def kwaj(data: bytes = PAYLOAD, method: int = 0, name: bytes = b"invoice\0exe\0") -> bytes:
    """With a name and its ending, and without a size."""
    return b"KWAJ\x88\xf0\x27\xd1" + struct.pack("<3H", method, 14 + len(name), 0x18) + name + data


def lzop(data: bytes = PAYLOAD, name: str = NAME) -> bytes:
    """One block, stored, with its checksum."""
    head = struct.pack(">HHHBBLLLLB", 0x1040, 0x20A0, 0x0940, 1, 5, 1, 0o100644, 0, 0, len(name))
    head += name.encode()
    block = struct.pack(">LLL", len(data), len(data), zlib.adler32(data)) + data
    start = b"\x89LZO\0\r\n\x1a\n" + head + struct.pack(">L", zlib.adler32(head))
    return start + block + b"\0\0\0\0"


def snappy(*chunks: bytes) -> bytes:
    """A frame of packed chunks; none: the payload, as it is."""
    pieces = [
        b"\0" + (len(chunk) + 4).to_bytes(3, "little") + b"\0\0\0\0" + chunk for chunk in chunks
    ]
    plain = b"\1" + (len(PAYLOAD) + 4).to_bytes(3, "little") + b"\0\0\0\0" + PAYLOAD
    return b"\xff\6\0\0sNaPpY" + (b"".join(pieces) or plain)


def packed_by_pack(data: bytes = PAYLOAD) -> bytes:
    """A .z file: every byte has a code of eight bits, but the last one and the end of the file."""
    codes = [f"{number + 1:08b}" for number in range(255)] + ["000000000"]
    bits = "".join(codes[byte] for byte in data) + "000000001"
    bits += "0" * (-len(bits) % 8)
    head = b"\x1f\x1e" + struct.pack(">LB", len(data), 9) + bytes(7) + b"\xff\0"
    return head + bytes(range(256)) + int(bits, 2).to_bytes(len(bits) // 8)


def onenote(*files: bytes) -> bytes:
    """A section's header, and embedded files."""
    section = bytes.fromhex("e4525c7b8cd8a74daeb15378d02996d3").ljust(48, b"\0")
    section += bytes.fromhex("3fdd9a101b91f549a5d01791edc8aed8").ljust(976, b"\0")
    head, foot = "e716e3bd65261145a4c48d4d0b7a9eac", "22a7fb71798ff94d8d1b8e1a0b1c6dc9"
    for file in files or (PAYLOAD,):
        section += bytes.fromhex(head) + struct.pack("<Q", len(file)) + bytes(12)
        section += file + bytes(-len(file) % 8) + bytes.fromhex(foot)
    return section


def pdf(*objects: bytes, trailer: bytes = b"/Root 1 0 R") -> bytes:
    """Objects numbered from 1, without a table; none: the payload as an embedded file."""
    objects = objects or (
        b"<< /Type /Catalog /Names << /EmbeddedFiles << /Names [ (x) 2 0 R ] >> >> >>",
        b"<< /Type /Filespec /F (%s) /EF << /F 3 0 R >> >>" % NAME.encode(),
        pdf_stream(zlib.compress(PAYLOAD), b"/Type /EmbeddedFile /Filter /FlateDecode"),
    )
    numbered = (b"%d 0 obj\n%s\nendobj\n" % pair for pair in enumerate(objects, 1))
    return b"%PDF-1.7\n" + b"".join(numbered) + b"trailer\n<< " + trailer + b" >>\n%%EOF\n"


def pdf_stream(data: bytes, about: bytes = b"") -> bytes:
    return b"<< %s /Length %d >>\nstream\n%s\nendstream" % (about, len(data), data)


def object_stream(*objects: tuple[int, bytes], about: bytes = b"/Filter /FlateDecode") -> bytes:
    places, bodies = b"", b""
    for number, body in objects:
        places += b"%d %d " % (number, len(bodies))
        bodies += body + b" "
    about = b"/Type /ObjStm /N %d /First %d " % (len(objects), len(places)) + about
    return pdf_stream(zlib.compress(places + bodies), about)


def shortcut(arguments: str = "/c calc", behind: bytes = PAYLOAD) -> bytes:
    """A shell link with a list of targets, a path, arguments and extra data; and more behind it."""
    head = b"\x4c\0\0\0" + bytes.fromhex("0114020000000000c000000000000046")
    strings = ("..\\cmd.exe", arguments)
    packed = (struct.pack("<H", len(text)) + text.encode("utf-16-le") for text in strings)
    extra = struct.pack("<LL", 12, 0xA0000003) + bytes(4) + bytes(4)
    link = (head + struct.pack("<L", 0xA9)).ljust(76, b"\0") + struct.pack("<H", 4) + b"abcd"
    return link + b"".join(packed) + extra + behind


def xar(name: str = NAME, data: bytes = PAYLOAD) -> bytes:
    """Stored, behind its table of contents."""
    size = len(data)
    about = f"<length>{size}</length><offset>0</offset><size>{size}</size>"
    about += '<encoding style="application/octet-stream"/>'
    file = f'<file id="1"><name>{name}</name><type>file</type><data>{about}</data></file>'
    toc = f'<?xml version="1.0"?><xar><toc>{file}</toc></xar>'.encode()
    packed = zlib.compress(toc)
    return b"xar!" + struct.pack(">HHQQL", 28, 1, len(packed), len(toc), 0) + packed + data


def vhd(disk: bytes) -> bytes:
    """A disk of fixed size: itself, and a footer."""
    fields = (2, 0x10000, 2**64 - 1, 0, b"test", 0x10000, b"Wi2k", len(disk), len(disk), 0, 2)
    footer = b"conectix" + struct.pack(">LLQL4sL4sQQLL", *fields)
    footer = footer.ljust(512, b"\0")
    footer = footer[:64] + struct.pack(">L", ~sum(footer) & 0xFFFFFFFF) + footer[68:]
    return disk + footer


def partitioned(disk: bytes) -> bytes:
    """A disk in the first partition of a larger one."""
    entry = struct.pack("<B3sB3sLL", 0, b"\0\x20\x21", 0x0C, b"\0\x30\x30", 2048, len(disk) // 512)
    record = b"\xfa\x33\xc0".ljust(446, b"\0") + entry
    return record.ljust(510, b"\0") + b"\x55\xaa" + bytes(2047 * 512) + disk + bytes(64 * 512)


SPECIMENS: dict[str, bytes] = {
    "S/MIME": smime(PAYLOAD),
    "zip": zipped(),
    "gzip": gzipped(),
    "bzip2": bz2.compress(PAYLOAD),
    "xz": lzma.compress(PAYLOAD),
    "lzma": lzma.compress(PAYLOAD, lzma.FORMAT_ALONE),
    "ActiveMime": b"ActiveMime".ljust(50, b"\0") + zlib.compress(PAYLOAD),
    "tar": tarred(),
    "OLE": compound(("\1Ole10Native", b"\0\0\0\0" + package())),
    "OneNote": onenote(),
    "PDF": pdf(),
    "shortcut": shortcut(),
    "RTF": rtf(ole_object(package())),
    "TNEF": winmail(),
    "uuencode": PLAIN + uuencoded() + PLAIN,
    "yEnc": PLAIN + yencoded(),
    "BinHex": PLAIN + binhexed(),
    "HTML": b'<a download href="data:application/octet-stream;base64,'
    + base64.b64encode(PAYLOAD)
    + b'">your invoice</a>',
    "zstd": zstd(),
    "lzip": lzip(),
    "LZ4": lz4(),
    "lzop": lzop(),
    "Snappy": snappy(),
    "pack": packed_by_pack(),
    "KWAJ": kwaj(),
    "zlib": zlib.compress(PAYLOAD),
    "compress": compressed(list(PAYLOAD)),
    "SZDD": szdd(),
    "cpio": cpio(),
    "ar": ar(),
    "RPM": rpm(),
    "ISO 9660": iso(),
    "borrowed": seven_zip(),
    "buried": PLAIN + seven_zip(),
}
