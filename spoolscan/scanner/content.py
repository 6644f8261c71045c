"""What bytes are, by themselves: a type by content, and whether text is surely harmless.

Our own short table of magics: names and headers lie, and no system library is asked.  `sniff` is
cheap enough to be asked for every part; "application/octet-stream" is its word for not knowing.
Both functions are pure, look at each byte a fixed number of times, and never raise.
"""

from __future__ import annotations

import re
from typing import Final

import re2

_HEAD: Final = 1024  # bytes in which a client looks for a beginning

# offset, magic, type; the first that fits decides.
_MAGICS: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"MZ", "application/x-dosexec"),
    (0, b"ZM", "application/x-dosexec"),
    (0, b"\x7fELF", "application/x-executable"),
    (0, b"\xfe\xed\xfa\xce", "application/x-mach-binary"),
    (0, b"\xfe\xed\xfa\xcf", "application/x-mach-binary"),
    (0, b"\xce\xfa\xed\xfe", "application/x-mach-binary"),
    (0, b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
    (0, b"\xca\xfe\xba\xbe", "application/java-vm"),
    (0, b"\xca\xfe\xd0\x0d", "application/x-java-pack200"),
    (0, b"dex\n", "application/x-dex"),
    (0, b"\0asm", "application/wasm"),
    (0, b"PK\3\4", "application/zip"),
    (0, b"PK\5\6", "application/zip"),
    (0, b"PK\7\x08PK", "application/zip"),
    (0, b"PK00PK\3\4", "application/zip"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (0, b"\x78\x9f\x3e\x22", "application/ms-tnef"),
    (0, b"{\\rt", "application/rtf"),
    (0, b"%!PS", "application/postscript"),
    (0, b"\xc5\xd0\xd3\xc6", "application/postscript"),
    (0, b"\x4c\0\0\0\x01\x14\x02\0", "application/x-ms-shortcut"),
    (0, b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d", "application/onenote"),
    (0, b"ActiveMime\0", "application/x-mso"),
    (0, b"ITSF", "application/vnd.ms-htmlhelp"),
    (0, b"\0\x01\0\0Standard Jet DB", "application/x-msaccess"),
    (0, b"\0\x01\0\0Standard ACE DB", "application/x-msaccess"),
    (0, b"SQLite format 3\0", "application/vnd.sqlite3"),
    (0, b"!BDN", "application/vnd.ms-outlook"),
    (0, b"FWS", "application/x-shockwave-flash"),
    (0, b"CWS", "application/x-shockwave-flash"),
    (0, b"ZWS", "application/x-shockwave-flash"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\0", "application/x-xz"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (0, b"RE~^", "application/vnd.rar"),
    (0, b"SZDD\x88\xf0\x27\x33", "application/x-ms-compress"),
    (0, b"SZ \x88\xf0\x27\x33", "application/x-ms-compress"),
    (0, b"KWAJ\x88\xf0\x27\xd1", "application/x-ms-kwaj"),
    (0, b"MSCF", "application/vnd.ms-cab-compressed"),
    (0, b"ISc(", "application/x-installshield"),
    (0, b"\x60\xea", "application/x-arj"),
    (2, b"-lh", "application/x-lzh"),
    (2, b"-lz", "application/x-lzh"),
    (2, b"-pm", "application/x-lzh"),
    (20, b"\xdc\xa7\xc4\xfd", "application/x-zoo"),
    (7, b"**ACE**", "application/x-ace"),
    (0, b"ALZ\x01", "application/x-alz"),
    (0, b"EGGA", "application/x-egg"),
    (0, b"xar!", "application/x-xar"),
    (0, b"MSWIM\0\0\0", "application/x-ms-wim"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (1, b"\x2a\x4d\x18", "application/zstd"),
    (0, b"\x04\x22\x4d\x18", "application/x-lz4"),
    (0, b"\x02\x21\x4c\x18", "application/x-lz4"),
    (0, b"\x89LZO\0", "application/x-lzop"),
    (0, b"LZIP", "application/x-lzip"),
    (0, b"LRZI", "application/x-lrzip"),
    (0, b"\x5d\0\0", "application/x-lzma"),
    (0, b"\xff\x06\0\0sNaPpY", "application/x-snappy-framed"),
    (0, b"\x1f\x9d", "application/x-compress"),
    (0, b"\x1f\x9e", "application/x-freeze"),
    (0, b"\x1f\x9f", "application/x-freeze"),
    (0, b"\x1f\xa0", "application/x-lzh-compress"),
    (0, b"\x1f\x1e", "application/x-pack"),
    (0, b"!<arch>\n", "application/x-archive"),
    (0, b"070701", "application/x-cpio"),
    (0, b"070702", "application/x-cpio"),
    (0, b"070707", "application/x-cpio"),
    (0, b"070727", "application/x-cpio"),
    (0, b"\xc7\x71", "application/x-cpio"),
    (0, b"\x71\xc7", "application/x-cpio"),
    (0, b"WARC/", "application/warc"),
    (0, b"\xed\xab\xee\xdb", "application/x-rpm"),
    (32769, b"CD001", "application/x-iso9660-image"),
    (32769, b"BEA01", "application/x-iso9660-image"),
    (0, b"vhdxfile", "application/x-vhdx-disk"),
    (0, b"conectix", "application/x-vhd-disk"),
    (0, b"KDMV", "application/x-vmdk-disk"),
    (0, b"# Disk DescriptorFile", "application/x-vmdk-disk"),
    (0, b"QFI\xfb", "application/x-qemu-disk"),
    (64, b"\x7f\x10\xda\xbe", "application/x-virtualbox-vdi"),
    (0, b"hsqs", "application/x-squashfs"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (0, b"8BPS", "image/vnd.adobe.photoshop"),
    (0, b"\0\0\x01\0", "image/vnd.microsoft.icon"),
    (0, b"\xd7\xcd\xc6\x9a", "image/wmf"),
    (40, b" EMF", "image/emf"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1a\x45\xdf\xa3", "video/x-matroska"),
    (0, b"\0\0\x01\xba", "video/mpeg"),
    (0, b"\0\0\x01\xb3", "video/mpeg"),
    (0, b"FLV\x01", "video/x-flv"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-asf"),
    (8, b"AVI ", "video/x-msvideo"),
    (8, b"WAVE", "audio/x-wav"),
    (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"MThd", "audio/midi"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"wOFF", "font/woff"),
    (0, b"wOF2", "font/woff2"),
    (0, b"OTTO", "font/otf"),
    (0, b"\0\x01\0\0\0", "font/ttf"),
    (0, b"BM", "image/bmp"),
)
# By the first byte of the content, in the order of the table: few are left to be tried.
_BY_FIRST_BYTE: Final = tuple(
    tuple(row for row in _MAGICS if row[0] or row[1][0] == first) for first in range(256)
)
# Of the last 512 bytes the first; a word of a text is no image of a disk.
_TRAILERS: Final = {
    b"conectix": "application/x-vhd-disk",
    b"koly\0\0\0\4": "application/x-apple-diskimage",
}
_BOOT_CODE: Final = b"\xeb\xe9\x33\xfa"

_ASCII: Final = bytes(range(128))
_CHECKSUM: Final = re.compile(rb" {0,7}([0-7]{1,8})")

_CONTROLS: Final = bytes(sorted(set(range(32)) - set(b"\t\n\x0c\r"))) + b"\x7f"
_TEXT: Final = bytes(sorted(set(range(256)) - set(_CONTROLS)))
_LEADING: Final = b"\xef\xbb\xbf \t\r\n\x0c"

_SCRIPT_STARTS: Final = (b"#!", b"<?php", b"<%@", b"<job", b"<package")
_BATCH: Final = re.compile(
    rb"(?i)@echo\s+off|@?rem\s|windows registry editor|regedit4|\[internetshortcut\]"
)
_FIELD: Final = re.compile(rb"[!-9;-~]+[ \t]*:")
_MAIL_FIELDS: Final = frozenset(
    b"received from to cc subject date message-id return-path mime-version content-type sender "
    b"reply-to delivered-to x-mailer content-transfer-encoding content-disposition in-reply-to "
    b"resent-from dkim-signature authentication-results x-original-to list-id".split()
)

_TAGS: Final = (
    rb"<(?:!doctype\s+html|html|head|body|script|iframe|object|embed|applet|meta|svg|style|form"
    rb"|img|table|div|link|base|frame|hta:application|a\s+href|\?xml|!\[cdata\[)[\s>/:=]"
)
_HTML: Final = re2.compile(rb"(?i)" + _TAGS)
# What opens something inside a text: HTML and scripts, armour, and in base64 the first letters of
# programs, archives and documents.  re2 reads it all in one pass.
_OPENINGS: Final = re2.compile(
    rb"(?im)" + _TAGS + rb"|(?:^|\r)begin(?:-base64\S*)?[ \t]+[0-7]{3}|=ybegin|with binhex"
    rb"|javascript:|vbscript:|;base64,|transfer-encoding:\s*base64"
    rb"|\b(?:tvqqaa|tvpqaa|tvroaa|tvqaaa|uesdb[abc]|0m8r4kgx|jveri|umfyi|n3q8ry|h4si|e1xydg)"
)
_NO_WORDS: Final = re.compile(rb"[!-~]{60}")


def sniff(data: bytes) -> str:
    """The media type of these bytes, by their content alone, in lower case."""
    for offset, magic, kind in _BY_FIRST_BYTE[data[0]] if data else ():
        if data.startswith(magic, offset) and _confirmed(data, kind):
            return kind
    if is_tar(data):
        return "application/x-tar"
    if b"%PDF-" in data[:_HEAD]:
        return "application/pdf"
    if data[510:512] == b"\x55\xaa" and data[0] in _BOOT_CODE:
        return "application/x-raw-disk-image"
    trailer = data[-512:-504]
    return _TRAILERS.get(trailer) or _sniff_text(data, data[:_HEAD])


def _confirmed(data: bytes, kind: str) -> bool:
    """A second look at magics short enough to begin a text, or to stand anywhere."""
    match kind:
        case "application/x-dosexec" | "image/bmp" | "application/x-shockwave-flash":
            return bool(data[:_HEAD].translate(None, _TEXT)) or len(data) < 8
        case "application/x-lzh":
            right = data[6:7] == b"-" and data[5:6].isalnum()
        case "application/zstd":
            right = data[0] == 0x28 or data[0] & 0xF0 == 0x50  # or a skippable frame
        case "application/x-bzip2":
            right = data[3:4].isdigit()
        case "application/x-arj":
            right = 10 <= int.from_bytes(data[2:4], "little") <= 2600
        case "image/vnd.microsoft.icon":
            right = data[4:6] != b"\0\0"
        case _:
            right = True
    return right


def is_tar(data: bytes, offset: int = 0) -> bool:
    """Whether a tar header stands here: the word "ustar", or before 1988 a right checksum."""
    header = data[offset : offset + 512]
    if len(header) < 512:
        return False
    if header.startswith(b"ustar", 257):
        return True
    field = _CHECKSUM.match(header, 148)
    if field is None or not header[0]:
        return False
    rest = header[:148] + b" " * 8 + header[156:]
    wrong = sum(rest) - int(field[1], 8)
    return wrong == 0 or wrong == 256 * len(rest.translate(None, _ASCII))  # signed bytes, long ago


def _sniff_text(data: bytes, head: bytes) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head[2:].replace(b"\0", b"")
    elif head.translate(None, _TEXT):
        return "application/octet-stream"
    start = head.lstrip(_LEADING)
    if start.lower().startswith(_SCRIPT_STARTS) or _BATCH.match(start):
        return "text/x-script"
    if _HTML.search(start):
        return "text/html"
    if _looks_like_mail(start):
        return "message/rfc822"
    return "text/plain" if head and not data.translate(None, _TEXT) else "application/octet-stream"


def _looks_like_mail(start: bytes) -> bool:
    """Header fields from the first line on, of which two are a mail's."""
    if start.startswith(b"From "):
        start = start.partition(b"\n")[2]
    if _FIELD.match(start) is None:
        return False
    known = set()
    for line in start.splitlines():
        if line[:1] in {b" ", b"\t"}:
            continue
        if not line or _FIELD.match(line) is None:
            break
        known.add(line.partition(b":")[0].rstrip().lower())
    return len(known & _MAIL_FIELDS) >= 2


def is_plain_text(data: bytes) -> bool:
    """Whether this is surely harmless text in any charset that has ASCII in it.

    No control bytes but TAB, CR, LF and FF; no opening of uuencode, yEnc, BinHex, base64, HTML or
    a script; and words from the start on, for programs can be written in letters alone.
    """
    start = data[:_HEAD].lstrip(_LEADING)
    return not (
        data.translate(None, _TEXT)
        or _NO_WORDS.match(start)
        or _BATCH.match(start)
        or start.lower().startswith(_SCRIPT_STARTS)
        or _OPENINGS.search(data)
    )
