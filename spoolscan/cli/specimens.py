"""Containers of our own making, each with one file in it: what the unpackers are tried on.

By ``spoolscan selftest`` with EICAR in them, by the tests with what looks like a program.  Each
builder takes the name and the bytes of the file; most store it, for it is the unpacker that is
tried.  Long, and nothing but builders.
"""

from __future__ import annotations

import base64
import binascii
import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib

PAYLOAD = b"MZ\x90\x00" + bytes(range(256)) * 4 + b"the end"
NAME = "invoice.exe"
PLAIN = b"Dear all,\r\nthe figures you asked for are below, with kind regards.\r\n"


def zipped(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files or ((NAME, PAYLOAD),):
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, method)
    return buffer.getvalue()


def without_directory(archive: bytes) -> bytes:
    return archive[: archive.index(b"PK\1\2")]


def patched(archive: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    """Bytes put over those at ``offset`` behind the first ``signature``."""
    at = archive.index(signature) + offset
    return archive[:at] + value + archive[at + len(value) :]


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
