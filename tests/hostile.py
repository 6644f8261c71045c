"""Messages that grow in one hostile dimension: what tests/bench/linear.py measures.

Each maker takes a number of bytes and gives a message of about that size.
"""

from __future__ import annotations

import base64
import io
import random
import zipfile
from collections.abc import Callable

_HEAD = b"From: alice@example.org\r\nTo: bob@example.com\r\nMIME-Version: 1.0\r\n"
_MIXED = _HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"


def _filled(
    size: int, piece: Callable[[int], bytes], head: bytes = b"", tail: bytes = b""
) -> bytes:
    """Pieces, numbered, until it is that long."""
    out, length, number = [head], len(head), 0
    while length < size:
        out.append(piece(number))
        length += len(out[-1])
        number += 1
    return b"".join([*out, tail])


def _field(size: int, head: bytes, piece: Callable[[int], bytes], tail: bytes = b"") -> bytes:
    """One field of a few kilobytes, again and again, each in a part of its own."""
    field = _filled(min(size, 5000), piece, head)
    part = b"--b\r\nContent-Type: a/b\r\n" + field + tail + b"\r\n\r\nx\r\n"
    return _filled(size, lambda _: part, _MIXED)


def _words(size: int) -> bytes:
    word = b"=?utf-16?B?" + base64.b64encode("name.exe".encode("utf-16-le")) + b"?= x"
    return _field(size, b'Content-Disposition: attachment; filename="', lambda _: word, b'"')


def _short_words(size: int) -> bytes:
    head = b'Content-Disposition: attachment; filename="'
    return _field(size, head, lambda n: b"=?a%d?q?=41?=" % (n % 2), b'"')


def _nested(size: int) -> bytes:
    def level(n: int) -> bytes:
        return b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)

    return _filled(size, level, _HEAD)


def _deep(size: int) -> bytes:
    """As deep as it may be, and each level as long as it can."""
    filler = b"x" * 76 + b"\r\n"
    text = filler * (size // 18 // len(filler))
    levels = [
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n%s--b%d\r\n" % (n, text, n)
        for n in range(18)
    ]
    return _HEAD + b"".join(levels)


def _boundaries(size: int) -> bytes:
    head = (
        _HEAD
        + b"Content-Type: multipart/mixed"
        + b"".join(b"; boundary=b%d" % n for n in range(90))
    )
    return _filled(size, lambda n: b"--b%d\r\n\r\nx\r\n" % (n % 90), head + b"\r\n\r\n")


def _one_boundary_often(size: int) -> bytes:
    return _filled(size, lambda n: b"--b%d\r\n" % n, _MIXED)


def _part_boundaries(size: int) -> bytes:
    part = b"--b\r\nContent-Type: multipart/mixed" + b"; boundary=x" * 190 + b"\r\n\r\nx\r\n"
    return _filled(size, lambda _: part, _MIXED)


def _attached(data: bytes, name: bytes = b"a.bin") -> bytes:
    head = b"--b\r\nContent-Type: application/octet-stream; name=%s\r\n" % name
    coded = base64.encodebytes(data).replace(b"\n", b"\r\n")
    return _MIXED + head + b"Content-Transfer-Encoding: base64\r\n\r\n" + coded + b"--b--\r\n"


def _in_body(encoding: bytes, body: bytes) -> bytes:
    head = _HEAD + b"Content-Type: application/octet-stream; name=a.bin\r\n"
    return head + b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n" + body


def _zip_of_many(size: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(size * 3 // 4 // 110):
            archive.writestr(zipfile.ZipInfo(f"{number}.txt"), b"")
    return _attached(buffer.getvalue())


def _zip_of_documents(size: int) -> bytes:
    """As many members as are read, each of which the last pattern makes worth a look."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(1900):
            archive.writestr(zipfile.ZipInfo(f"{number}.bin"), bytes(size * 3 // 4 // 1900))
    return _attached(buffer.getvalue())


def _zip_bomb(size: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", random.Random(1).randbytes(size // 8) * 6)  # noqa: S311 - bytes
    return _attached(buffer.getvalue())


def _times(piece: bytes, size: int) -> bytes:
    return piece * (size // len(piece) + 1)


def _junked(size: int) -> bytes:
    return _in_body(b"base64", _times(b"TVqQ!AAM=AAAA\r\n" + b"AAAA" * 15 + b"\r\n", size))


def _text(size: int, piece: bytes) -> bytes:
    return _HEAD + b"\r\n" + _times(piece, size)


def _html(size: int, piece: bytes) -> bytes:
    return _HEAD + b"Content-Type: text/html\r\n\r\n" + _times(piece, size)


_UU = b"begin 644 a.txt\r\n#0V%T\r\n`\r\nend\r\n"

DIMENSIONS: dict[str, Callable[[int], bytes]] = {
    "header fields": lambda size: _filled(size, lambda n: b"X-%d: y\r\n" % n, _HEAD, b"\r\nx\r\n"),
    "length of a field": lambda size: _HEAD + b"Subject: " + b"x" * size + b"\r\n\r\nx\r\n",
    "folds of a field": lambda size: (
        _HEAD + b"Subject: x" + _times(b"\r\n x", size) + b"\r\n\r\nx\r\n"
    ),
    "white lines in a field": lambda size: (
        _HEAD + b"Subject: x" + _times(b"\r\n ", size) + b"\r\n\r\nx\r\n"
    ),
    "addresses": lambda size: (
        _HEAD + b"Cc: " + _times(b"a@example.org, ", size) + b"\r\n\r\nx\r\n"
    ),
    "comments": lambda size: _field(
        size, b"Content-Type: (((", lambda _: b"(x(y)", b")))text/plain; name=a.txt"
    ),
    "parameters": lambda size: _field(
        size, b"Content-Disposition: attachment", lambda n: b"; x%d=y" % n
    ),
    "names of one part": lambda size: _field(
        size, b"Content-Disposition: attachment", lambda n: b"; filename=%d.txt" % n
    ),
    "names in names": lambda size: _field(
        size, b'Content-Disposition: attachment; filename="', lambda n: b' (%d) \\"name=a;x' % n
    ),
    "names with semicolons": lambda size: _field(
        size, b"Content-Disposition: attachment; filename=", lambda _: b"a ;b\\" + b'"'
    ),
    "pieces of RFC 2231": lambda size: _field(
        size, b"Content-Disposition: attachment", lambda n: b"; filename*%d*=utf-8''%%61" % n
    ),
    "pieces of RFC 2231 in disorder": lambda size: _field(
        size, b"Content-Disposition: attachment", lambda n: b"; filename*%d=%%61" % (n % 3)
    ),
    "encoded words": _words,
    "short encoded words": _short_words,
    "encoded words in a subject": lambda size: _filled(
        size, lambda _: b" =?utf-8?q?x?=\r\n", _HEAD + b"Subject:", b"\r\nx\r\n"
    ),
    "characters that cannot be seen": lambda size: _field(
        size, b"Content-Disposition: attachment; filename=", lambda _: "\u200b\uff0e.".encode()
    ),
    "nesting": _nested,
    "long and deep": _deep,
    "nested messages": lambda size: _filled(
        size, lambda _: b"Content-Type: message/rfc822\r\n\r\n", _HEAD
    ),
    "parts": lambda size: _filled(size, lambda _: b"--b\r\n\r\nx\r\n", _MIXED),
    "parts of 5 KB": lambda size: _filled(
        size, lambda _: b"--b\r\n\r\n" + b"word " * 1000 + b"\r\n", _MIXED
    ),
    "named parts of 5 KB": lambda size: _filled(
        size,
        lambda n: b"--b\r\nContent-Type: a/b; name=%d.bin\r\n\r\n" % n + b"\0" * 5000 + b"\r\n",
        _MIXED,
    ),
    "boundaries": _boundaries,
    "boundaries of each part": _part_boundaries,
    "lines like a boundary": _one_boundary_often,
    "undeclared parts": lambda size: _text(size, b"--x\r\nContent-Type: a/b\r\n\r\ny\r\n"),
    "mails in a mailbox": lambda size: _text(size, b"From x\r\nSubject: y\r\n\r\nz\r\n\r\n"),
    "bare carriage returns": lambda size: _text(size, b"\r--b\rX: y\r"),
    "length of a line": lambda size: _text(size, b"x "),
    "empty lines": lambda size: _text(size, b"\r\n"),
    "plain text": lambda size: _text(size, b"The quick brown fox jumps over it.\r\n"),
    "base64": lambda size: _in_body(b"base64", _times(b"QUFB" * 19 + b"\r\n", size)),
    "base64 with junk": _junked,
    "quoted-printable": lambda size: _in_body(b"quoted-printable", _times(b"=41=\r\n", size)),
    "uuencoded lines": lambda size: _in_body(b"x-uuencode", _times(b"#0V%T\r\n", size)),
    "uuencoded files": lambda size: _text(size, _UU),
    "yEnc": lambda size: _text(size, b"=ybegin line=9 size=9 name=a\r\n=}=}=}=}\r\n"),
    "BinHex": lambda size: _text(
        size, b"(This file must be converted with BinHex 4.0)\r\n:!!!!!!!!!!:\r\n"
    ),
    "members of a zip": _zip_of_many,
    "documents in a zip": _zip_of_documents,
    "content of a zip": _zip_bomb,
    "blobs in HTML": lambda size: _html(size, b"<a href='data:a/b;base64,QUFBQUFBQUFBQUFB'>x</a>"),
    "open tags in HTML": lambda size: _html(size, b"<script <a href="),
    "atob in HTML": lambda size: _html(size, b"atob('TVqQAAMAAAAEAAAA//8AALg');"),
    "NUL": lambda size: _in_body(b"8bit", bytes(size)),
    "macro source": lambda size: _attached(
        b'Attribute VB_Name = "a"\r\nSub b()\r\n' + _times(b"x = Chr(65) & _\r\n", size), b"a.dat"
    ),
    "fields of a document": lambda size: _attached(
        b"<?xml version='1.0'?>" + _times(b"<w:instrText>D</w:instrText>", size), b"a.xml"
    ),
    "relationships": lambda size: _attached(
        b"<?xml version='1.0'?>" + _times(b'<Relationship Target="x"/>', size), b"a.rels"
    ),
    "fields of an RTF": lambda size: _attached(
        b"{\\rtf1" + _times(b"\\fldinst{\\b D}", size), b"a.rtf"
    ),
}  # fmt: skip
