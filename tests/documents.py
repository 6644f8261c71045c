"""Office documents of our own making, with macros, fields and records in them."""

from __future__ import annotations

import struct

from spoolscan.cli.specimens import compound, zipped


def packed(source: str) -> bytes:
    """A module's stream ([MS-OVBA] 2.4.1), all literals: a flag byte before each eight."""
    text, out = source.encode("latin-1"), b"\1"
    for start in range(0, len(text), 3600):
        piece = text[start : start + 3600]
        body = b"".join(b"\0" + piece[at : at + 8] for at in range(0, len(piece), 8))
        out += struct.pack("<H", 0xB000 | len(body) - 1) + body
    return b"\x16\1\0" * 20 + out


def module(*lines: str) -> str:
    return "\r\n".join(['Attribute VB_Name = "ThisDocument"', *lines, ""])


def project(*modules: str) -> bytes:
    """What lies in a zipped document as vbaProject.bin, and is at the heart of a .doc."""
    streams = [(f"VBA/Module{number}", packed(text)) for number, text in enumerate(modules)]
    return compound(("VBA/_VBA_PROJECT", b"\xcc\x61"), *streams)


TYPES = (
    '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/'
    'content-types"><Default Extension="bin" ContentType="{bin}"/>'
    '<Override PartName="/word/document.xml" ContentType="application/{main}+xml"/></Types>'
)
PLAIN = "vnd.openxmlformats-officedocument.wordprocessingml.document.main"
ADMITTED = "vnd.ms-word.document.macroEnabled.main"
DOCUMENT = b'<?xml version="1.0"?><w:document><w:t>Shell and AutoOpen</w:t></w:document>'


def docx(*members: tuple[str, bytes], main: str = ADMITTED) -> bytes:
    has_project = any(name.endswith(".bin") for name, _ in members)
    bin_type = "application/vnd.ms-office.vbaProject" if has_project else "image/png"
    types = TYPES.format(bin=bin_type, main=main).encode()
    return zipped(("[Content_Types].xml", types), ("word/document.xml", DOCUMENT), *members)


def docm(*modules: str, main: str = ADMITTED) -> bytes:
    return docx(("word/vbaProject.bin", project(*modules)), main=main)


def relations(kind: str, target: str) -> tuple[str, bytes]:
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    text = (
        f'<Relationships><Relationship Id="r1" Type="{office}/{kind}" '
        f'Target="{target}" TargetMode="External"/></Relationships>'
    )
    return "word/_rels/settings.xml.rels", text.encode()


def field(*runs: str) -> bytes:
    pieces = "".join(f"<w:r><w:instrText>{run}</w:instrText></w:r>" for run in runs)
    return (
        f'<?xml version="1.0"?><w:document><w:fldChar w:fldCharType="begin"/>{pieces}'
        '<w:fldChar w:fldCharType="end"/></w:document>'
    ).encode()


def record(kind: int, body: bytes) -> bytes:
    return struct.pack("<HH", kind, len(body)) + body


def xls(state: int, *records: bytes, kind: int = 1) -> bytes:
    """A workbook with one sheet: shown (0) or hidden (1, 2), of macros (1) or cells (0)."""
    bof, eof = record(0x809, b"\0\6\5\0" + bytes(12)), record(0x0A, b"")
    sheet = b"\6\0Macro1"

    def globals_with(start: int) -> bytes:
        bound = struct.pack("<LBB", start, state, kind) + sheet
        names = [it for it in records if it[:2] == b"\x18\0"]
        return bof + record(0x85, bound) + b"".join(names) + eof

    cells = b"".join(it for it in records if it[:2] == b"\x06\0")
    return compound(("Workbook", globals_with(len(globals_with(0))) + bof + cells + eof))


def formula(tokens: bytes) -> bytes:
    return record(0x06, bytes(20) + struct.pack("<H", len(tokens)) + tokens)


AUTO_OPEN = record(0x18, struct.pack("<HBBH", 0x20, 0, 1, 0) + bytes(8) + b"\0\1")
NAMED_AUTO_OPEN = record(0x18, struct.pack("<HBBH", 0, 0, 11, 0) + bytes(8) + b"\0Auto_Open_x")
EXEC = formula(b"\x17\x09\0cmd.exe /" + b"\x42\x01\x6e\x00")
