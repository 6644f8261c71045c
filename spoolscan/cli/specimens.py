"""Containers of our own making, each with one file in it: what the unpackers are tried on.

By ``spoolscan selftest`` with EICAR in them, by the tests with what looks like a program.  Each
builder takes the name and the bytes of the file; most store it, for it is the unpacker that is
tried.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib

PAYLOAD = b"MZ\x90\x00" + bytes(range(256)) * 4 + b"the end"
NAME = "invoice.exe"


def zipped(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files or ((NAME, PAYLOAD),):
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, method)
    return buffer.getvalue()


def without_directory(archive: bytes) -> bytes:
    return archive[: archive.index(b"PK\1\2")]


def tarred(name: str = NAME, data: bytes = PAYLOAD, form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def gzipped(data: bytes = PAYLOAD, name: str = NAME) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(name, "wb", fileobj=buffer, mtime=0) as file:
        file.write(data)
    return buffer.getvalue()


def uuencoded(data: bytes = PAYLOAD, name: str = NAME) -> bytes:
    lines = [binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45)]
    return b"begin 644 " + name.encode() + b"\n" + b"".join(lines) + b"`\nend\n"


def yencoded(data: bytes = PAYLOAD, name: str = NAME) -> bytes:
    letters = bytearray()
    for byte in data:
        shifted = (byte + 42) % 256
        letters += (
            b"=" + bytes([(shifted + 64) % 256]) if shifted in b"\0\n\r=" else (bytes([shifted]))
        )
    head = f"=ybegin line=128 size={len(data)} name={name}\r\n".encode()
    return head + bytes(letters) + f"\r\n=yend size={len(data)}\r\n".encode()


def binhexed(data: bytes = PAYLOAD, name: str = NAME) -> bytes:
    header = bytes([len(name)]) + name.encode() + b"\0TEXTMINE\0\0"
    file = header + struct.pack(">LLH", len(data), 0, 0) + data + b"\0\0"
    packed = file.replace(b"\x90", b"\x90\0")
    letters = b"!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"
    usual = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    text = base64.b64encode(packed).rstrip(b"=").translate(bytes.maketrans(usual, letters))
    lines = b"\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    return b"(This file must be converted with BinHex 4.0)\n\n:" + lines + b":\n"


def tnef(*attributes: tuple[int, int, bytes]) -> bytes:
    """Attributes as level, number and value."""
    pieces = [b"\x78\x9f\x3e\x22\x01\x00"]
    for level, number, value in attributes:
        pieces.append(struct.pack("<BHHL", level, number, 0, len(value)) + value + b"\0\0")
    return b"".join(pieces)


def mapi(*properties: tuple[int, int, bytes]) -> bytes:
    """Properties as type, key and value."""
    pieces = [struct.pack("<L", len(properties))]
    for kind, key, value in properties:
        padding = b"\0" * (-len(value) % 4)
        pieces.append(struct.pack("<HHLL", kind, key, 1, len(value)) + value + padding)
    return b"".join(pieces)


def winmail(name: str = NAME, data: bytes = PAYLOAD, title: str = "") -> bytes:
    title_value = (title or name).encode() + b"\0"
    long_name = name.encode("utf-16-le") + b"\0\0"
    return tnef(
        (2, 0x9002, b"\0" * 14),
        (2, 0x8010, title_value),
        (2, 0x800F, data),
        (2, 0x9005, mapi((0x1F, 0x3707, long_name))),
    )


def package(name: str = NAME, data: bytes = PAYLOAD) -> bytes:
    path = f"C:\\temp\\{name}".encode() + b"\0"
    return (
        b"\2\0" + name.encode() + b"\0" + path + b"\0\0\3\0"
        + struct.pack("<L", len(path)) + path + struct.pack("<L", len(data)) + data
    )  # fmt: skip


def ole_object(native: bytes, class_name: bytes = b"Package") -> bytes:
    words = struct.pack("<LLL", 0x501, 2, len(class_name) + 1) + class_name + b"\0"
    return words + b"\0" * 8 + struct.pack("<L", len(native)) + native


def rtf(blob: bytes) -> bytes:
    digits = binascii.hexlify(blob)
    return b"{\\rtf1\\ansi{\\object\\objemb{\\*\\objdata " + digits + b"}{\\result x}}}"


def compound(*streams: tuple[str, bytes]) -> bytes:
    """An OLE file; "storage/stream" for one storage deep.  Streams are padded past 4096 bytes."""
    free, end, fat_mark = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
    storages = list(dict.fromkeys(name.split("/")[0] for name, _ in streams if "/" in name))
    # Of each: name, kind, next sibling, first child, number of the stream, size.
    entries: list[list[int | str]] = [["Root Entry", 5, free, free, end, 0]]
    chains: list[bytes] = []

    def link(parent: int, number: int) -> None:
        """Put an entry behind the last child of its parent."""
        if entries[parent][3] == free:
            entries[parent][3] = number
            return
        last = int(entries[parent][3])
        while entries[last][2] != free:
            last = int(entries[last][2])
        entries[last][2] = number

    for storage in storages:
        entries.append([storage, 1, free, free, 0, 0])
        link(0, len(entries) - 1)
    for name, data in streams:
        parent = 1 + storages.index(name.split("/")[0]) if "/" in name else 0
        entries.append([name.split("/")[-1], 2, free, free, len(chains), max(len(data), 4096)])
        chains.append(data.ljust(4096, b"\0"))
        link(parent, len(entries) - 1)
    directory_sectors = (len(entries) + 3) // 4
    fat = [fat_mark, *range(2, directory_sectors + 1), end]
    body: list[bytes] = []
    starts: list[int] = []
    for data in chains:
        count = (len(data) + 511) // 512
        starts.append(len(fat))
        fat += [*range(len(fat) + 1, len(fat) + count), end]
        body.append(data.ljust(count * 512, b"\0"))
    directory = b""
    for label, kind, right, child, start, size in entries:
        words = str(label).encode("utf-16-le")
        first = starts[int(start)] if kind == 2 else end
        directory += struct.pack(
            "<64sHBBLLL36xLQ", words, len(words) + 2, kind, 1, free, right, child, first, size
        )
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 16
    header += struct.pack("<5H6x", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<9L", 0, 1, 1, 0, 4096, end, 0, end, 0)
    header += struct.pack("<109L", 0, *[free] * 108)
    table = struct.pack(f"<{len(fat)}L", *fat).ljust(512, b"\xff")
    return header + table + directory.ljust(directory_sectors * 512, b"\0") + b"".join(body)


def rar(name: str = NAME, data: bytes = PAYLOAD, flags: int = 0) -> bytes:
    """RAR 4, stored; ``flags`` are those of the main header."""

    def block(kind: int, kind_flags: int, fields: bytes) -> bytes:
        head = struct.pack("<BHH", kind, kind_flags, 7 + len(fields)) + fields
        return struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head

    about = struct.pack(
        "<LLBLLBBHL", len(data), len(data), 3, zlib.crc32(data), 0, 20, 0x30, len(name), 0o644
    )
    file = block(0x74, 0x8000, about + name.encode()) + data
    return b"Rar!\x1a\x07\0" + block(0x73, flags, bytes(6)) + file + block(0x7B, 0x4000, b"")


def seven_zip(name: str = NAME, data: bytes = PAYLOAD) -> bytes:
    """7z, copied: the size must take two bytes, and so must that of the names."""

    def number(value: int) -> bytes:
        return bytes([0x80 | value >> 8, value & 0xFF])

    names = b"\0" + (name + "\0").encode("utf-16-le")
    header = (
        b"\1\4\6\0\1\x09" + number(len(data)) + b"\0"
        b"\7\x0b\1\0\1\1\0\x0c" + number(len(data)) + b"\0"
        b"\x08\x0a\1" + struct.pack("<L", zlib.crc32(data)) + b"\0\0"
        b"\5\1\x11" + number(len(names)) + names + b"\0\0"
    )  # fmt: skip
    start = struct.pack("<QQL", len(data), len(header), zlib.crc32(header))
    signature = b"7z\xbc\xaf\x27\x1c\0\4" + struct.pack("<L", zlib.crc32(start))
    return signature + start + data + header


def cabinet(name: str = NAME, data: bytes = PAYLOAD, flags: int = 0) -> bytes:
    """A cabinet, stored, of one block of data."""
    file = struct.pack("<LLHHHH", len(data), 0, 0, 0, 0, 0x20) + name.encode() + b"\0"
    block = struct.pack("<LHH", 0, len(data), len(data)) + data
    size = 44 + len(file) + len(block)
    head = struct.pack("<4s5LBB5H", b"MSCF", 0, size, 0, 44, 0, 3, 1, 1, 1, flags, 0, 0)
    return head + struct.pack("<LHH", 44 + len(file), 1, 0) + file + block


def lzh(name: str = NAME, data: bytes = PAYLOAD) -> bytes:
    """LZH, stored, with a header of level 0."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    about = b"-lh0-" + struct.pack("<LLLBBB", len(data), len(data), 0, 0x20, 0, len(name))
    about += name.encode() + struct.pack("<H", crc)
    return bytes([len(about), sum(about) & 0xFF]) + about + data + b"\0"


def cpio(name: str = NAME, data: bytes = PAYLOAD) -> bytes:
    """The form "newc"."""

    def entry(entry_name: str, content: bytes) -> bytes:
        fields = [1, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(entry_name) + 1, 0]
        head = b"070701" + b"".join(b"%08X" % field for field in fields)
        head += entry_name.encode() + b"\0"
        return head + b"\0" * (-len(head) % 4) + content + b"\0" * (-len(content) % 4)

    return entry(name, data) + entry("TRAILER!!!", b"")


def ar(*files: tuple[str, bytes]) -> bytes:
    """GNU names of up to 15 letters."""
    pieces = [b"!<arch>\n"]
    for name, data in files or ((NAME, PAYLOAD),):
        pieces.append(
            f"{name + '/':<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
        )
        pieces.append(data + b"\n" * (len(data) % 2))
    return b"".join(pieces)


def rpm(payload: bytes = PAYLOAD) -> bytes:
    section = b"\x8e\xad\xe8\1" + bytes(4) + struct.pack(">LL", 0, 8) + bytes(8)
    return b"\xed\xab\xee\xdb".ljust(96, b"\0") + section + section + payload


def iso(*files: tuple[str, bytes]) -> bytes:
    """ISO 9660 with one directory; names as they are given."""

    def both(value: int) -> bytes:
        return struct.pack("<L", value) + struct.pack(">L", value)

    def record(name: bytes, sector: int, size: int, flags: int) -> bytes:
        raw = both(sector) + both(size) + bytes(7) + bytes([flags, 0, 0]) + b"\1\0\0\1"
        raw += bytes([len(name)]) + name + b"\0" * (1 - len(name) % 2)
        return bytes([len(raw) + 2, 0]) + raw

    root = record(b"\0", 18, 2048, 2)
    directory, contents = root + record(b"\1", 18, 2048, 2), b""
    for name, data in files or ((NAME, PAYLOAD),):
        directory += record(name.encode() + b";1", 19 + len(contents) // 2048, len(data), 0)
        contents += data + b"\0" * (-len(data) % 2048)
    primary = (b"\1CD001\1".ljust(128, b"\0") + b"\0\x08\x08\0").ljust(156, b"\0") + root
    sectors = primary, b"\xffCD001\1", directory
    return bytes(16 * 2048) + b"".join(sector.ljust(2048, b"\0") for sector in sectors) + contents


def zstd(data: bytes = PAYLOAD) -> bytes:
    """A frame with one raw block; 256 to 65791 bytes."""
    head = b"\x28\xb5\x2f\xfd\x60" + struct.pack("<H", len(data) - 256)
    return head + (len(data) << 3 | 1).to_bytes(3, "little") + data


def lz4(*blocks: bytes) -> bytes:
    """A frame of packed blocks, each independent of the others; none: the payload, stored."""
    head = b"\x04\x22\x4d\x18\x60\x40\x82"
    packed = b"".join(struct.pack("<L", len(block)) + block for block in blocks)
    stored = struct.pack("<L", len(PAYLOAD) | 1 << 31) + PAYLOAD
    return head + (packed or stored) + b"\0\0\0\0"


def lzip(data: bytes = PAYLOAD) -> bytes:
    coded = lzma.compress(data, lzma.FORMAT_ALONE)[13:]
    sizes = struct.pack("<LQQ", zlib.crc32(data), len(data), len(coded) + 26)
    return b"LZIP\1\x17" + coded + sizes


def compressed(codes: list[int]) -> bytes:
    """A .Z file of these codes, of nine bits each: the table is cleared (256) before it is full."""
    pieces = [b"\x1f\x9d\x90"]
    for at in range(0, len(codes), 199):
        group = [*codes[at : at + 199], 256]
        bits = sum(code << 9 * place for place, code in enumerate(group))
        pieces.append(bits.to_bytes((9 * len(group) + 7) // 8, "little"))
    return b"".join(pieces)


def szdd(data: bytes = PAYLOAD) -> bytes:
    """Without any repetition."""
    groups = (b"\xff" + data[at : at + 8] for at in range(0, len(data), 8))
    return b"SZDD\x88\xf0\x27\x33A\0" + struct.pack("<L", len(data)) + b"".join(groups)


def der(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    size = len(content)
    length = size.to_bytes((size.bit_length() + 7) // 8, "big") if size > 127 else b""
    return bytes([tag, 0x80 | len(length) if length else size]) + length + content


def smime(*strings: bytes, kind: int = 2) -> bytes:
    """Signed data (2) or enveloped data (3) around a string, whole or in pieces; or none."""

    def pkcs7(number: int) -> bytes:
        return der(6, b"\x2a\x86\x48\x86\xf7\x0d\x01\x07", bytes([number]))

    pieces = [der(4, string) for string in strings]
    octets = pieces[0] if len(pieces) == 1 else der(0x24, *pieces)
    inner = der(0x30, pkcs7(1), der(0xA0, octets) if strings else b"")
    certificates = der(0xA0, der(0x30, b"\5\0"))
    signed = der(0x30, der(2, b"\1"), der(0x31), inner, certificates)
    return der(0x30, pkcs7(kind), der(0xA0, signed))
