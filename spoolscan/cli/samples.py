"""The sample messages of ``spoolscan demo``: made here, harmless, and what each must come to."""

from __future__ import annotations

import base64
import binascii
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from typing import Final

from spoolscan.scanner.engines.proof import EICAR

__all__ = ["EICAR", "Example", "encrypted", "examples", "picture", "zipped"]

PROGRAM: Final = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0".ljust(60, b"\0") + (
    b"\x80\0\0\0" + b"\0" * 64 + b"PE\0\0" + b"L\x01" + b"\0" * 400
)


@dataclass(frozen=True, slots=True)
class Example:
    """A message and its fate: "delivered", "quarantine" or "hold"."""

    title: str
    fate: str
    content: bytes


def _mail(subject: str, text: str = "Good day,\n\nplease see below.\n") -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"] = "Alice <alice@example.org>"
    message["To"] = "Bob <bob@example.com>"
    message["Subject"] = subject
    message.set_content(text)
    return message


def _with(subject: str, content: bytes, name: str, media_type: str) -> bytes:
    message = _mail(subject)
    maintype, _, subtype = media_type.partition("/")
    message.add_attachment(content, maintype=maintype, subtype=subtype, filename=name)
    return message.as_bytes()


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def encrypted(archive: bytes) -> bytes:
    """The same with the encryption flags set, which is all that a scanner can see of it."""
    data = bytearray(archive)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(signature)
        while place >= 0:
            data[place + offset] |= 1
            place = data.find(signature, place + 4)
    return bytes(data)


def picture() -> bytes:
    """A PNG of one red pixel."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack("!I", len(content))
            + kind
            + content
            + struct.pack("!I", zlib.crc32(kind + content))
        )

    head = struct.pack("!IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixel = zlib.compress(b"\0\xff\0\0")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")


def _html() -> bytes:
    message = _mail("Our new catalogue")
    message.add_alternative('<p>Look: <img src="cid:logo"></p>\n', subtype="html")
    html = message.get_payload(1)
    assert isinstance(html, EmailMessage)  # noqa: S101 - we have just made it
    html.add_related(picture(), "image", "png", cid="<logo>", filename="logo.png")
    return message.as_bytes()


def _forwarded() -> bytes:
    inner = _mail("Invoice 4711")
    inner.add_attachment(
        zipped({"invoice.doc": EICAR}), maintype="application", subtype="zip", filename="inv.zip"
    )
    message = _mail("Fwd: Invoice 4711")
    message.add_attachment(inner)
    return message.as_bytes()


def _uuencoded() -> bytes:
    line = binascii.b2a_uu(EICAR[:45]) + binascii.b2a_uu(EICAR[45:])
    text = f"As in the old days:\n\nbegin 644 letter.doc\n{line.decode()}`\nend\n"
    return _mail("Letter", text).as_bytes()


def _hidden_name() -> bytes:
    """An .exe whose name is told in two pieces, percent-encoded (RFC 2231)."""
    head = (
        "From: alice@example.org\nTo: bob@example.com\nSubject: Photos\nMIME-Version: 1.0\n"
        "Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n"
        "Content-Disposition: attachment;\n filename*1*=%2Ee%78e;\n"
        " filename*0*=utf-8''photos\n\n"
    )
    return (head.encode("ascii") + base64.encodebytes(PROGRAM)).replace(b"\n", b"\r\n")


def _macro_document() -> bytes:
    vba = b'Attribute VB_Name\0Sub AutoOpen()\r\nShell Environ("COMSPEC")\r\nEnd Sub\r\n'
    return zipped(
        {
            "[Content_Types].xml": b'<?xml version="1.0"?><Types/>',
            "word/document.xml": b'<?xml version="1.0"?><w:document/>',
            "word/vbaProject.bin": vba,
        }
    )


def _document() -> bytes:
    return zipped(
        {
            "[Content_Types].xml": b'<?xml version="1.0"?><Types/>',
            "word/document.xml": b'<?xml version="1.0"?><w:document>Minutes</w:document>',
        }
    )


_WORD: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_MACRO: Final = "application/vnd.ms-word.document.macroEnabled.12"
_BINARY: Final = "application/octet-stream"

_EXAMPLES: Final[tuple[tuple[str, str, Callable[[], bytes]], ...]] = (
    ("a plain letter", "delivered", lambda: _mail("Lunch on Friday?").as_bytes()),
    ("HTML with a picture", "delivered", _html),
    (
        "a text document",
        "delivered",
        lambda: _with("Minutes", _document(), "minutes.docx", _WORD),
    ),
    ("EICAR as a .doc", "quarantine", lambda: _with("Offer", EICAR, "offer.doc", _BINARY)),
    (
        "EICAR in a zip",
        "quarantine",
        lambda: _with("Bill", zipped({"bill.txt": EICAR}), "bill.zip", "application/zip"),
    ),
    (
        "EICAR in a zip in a zip",
        "quarantine",
        lambda: _with(
            "Bills", zipped({"a.zip": zipped({"b.txt": EICAR})}), "bills.zip", "application/zip"
        ),
    ),
    ("EICAR uuencoded in the text", "quarantine", _uuencoded),
    ("EICAR in a forwarded message", "quarantine", _forwarded),
    ("an .exe", "quarantine", lambda: _with("Game", PROGRAM, "game.exe", _BINARY)),
    (
        "an .exe renamed to .txt",
        "quarantine",
        lambda: _with("Notes", PROGRAM, "notes.txt", "text/plain"),
    ),
    ("an .exe named by RFC 2231", "quarantine", _hidden_name),
    (
        "an .exe in a zip",
        "quarantine",
        lambda: _with("Game", zipped({"game.exe": PROGRAM}), "game.zip", "application/zip"),
    ),
    (
        "a document with a macro",
        "quarantine",
        lambda: _with("Order", _macro_document(), "order.docm", _MACRO),
    ),
    (
        "an encrypted zip",
        "hold",
        lambda: _with("Secret", encrypted(zipped({"a.txt": b"?"})), "s.zip", "application/zip"),
    ),
)


def examples() -> list[Example]:
    """All of them."""
    return [Example(title, fate, make()) for title, fate, make in _EXAMPLES]
