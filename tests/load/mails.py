"""Mail to load a gateway with, the same from every run: ``text4k`` and ``mixed``.

``mixed`` is 70 % text of 2 to 20 KiB, 20 % HTML with images of 50 to 200 KiB, 8 % office documents
and zip files of 100 KiB to 1 MiB, 1 % EICAR and 1 % programs.  Sizes are spread evenly over their
orders of magnitude.  Nothing is kept on a disk: EICAR is put together in memory.
"""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from typing import Final

from clamd_server import EICAR
from letters import PROGRAM

KIBI: Final = 1024
CORPORA: Final = ("text4k", "mixed")
_WORDS: Final = (
    *("the", "of", "and", "a", "to", "in", "is", "you", "that", "it", "he", "was", "for", "on"),
    *("are", "with", "his", "they", "at", "be", "this", "have", "from", "or", "one", "had", "by"),
    *("word", "but", "not", "what", "all", "were", "we", "when", "your", "can", "said", "there"),
    *("an", "each", "which", "she", "do", "how", "their", "if", "will", "up", "other", "about"),
)


@dataclass(frozen=True, slots=True)
class Mail:
    """``kind`` is text, html, office, eicar or program; ``data`` ends CRLF, dots as they are."""

    kind: str
    data: bytes


def make(corpus: str, count: int, seed: int = 1) -> list[Mail]:
    """So many mails; a share of each kind as near as can be, in an order that looks like chance."""
    chance = random.Random(seed)  # noqa: S311 - the same mails every time is what is wanted
    if corpus == "text4k":
        return [Mail("text", _letter(chance, number, 4 * KIBI)) for number in range(count)]
    shares: list[tuple[str, float, Callable[[random.Random, int], bytes]]] = [
        ("html", 0.20, _html),
        ("office", 0.08, _office),
        ("eicar", 0.01, _eicar),
        ("program", 0.01, _program),
    ]
    kinds = [(kind, build) for kind, share, build in shares for _ in range(round(count * share))]
    kinds += [("text", _text)] * (count - len(kinds))
    chance.shuffle(kinds)
    return [Mail(kind, build(chance, number)) for number, (kind, build) in enumerate(kinds)]


def _between(chance: random.Random, least: int, most: int) -> int:
    return int(least * (most / least) ** chance.random())


def _prose(chance: random.Random, size: int) -> str:
    """Lines of words, of that many bytes."""
    lines: list[str] = []
    while size > 0:
        line = " ".join(chance.choices(_WORDS, k=12))[: max(size - 2, 0)]
        lines.append(line + "\n")
        size -= len(line) + 2
    return "".join(lines)


def _message(chance: random.Random, number: int, text: str) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["Date"] = "Sat, 21 Nov 2026 05:30:00 +0000"
    message["From"] = "Alice Example <alice@example.net>"
    message["To"] = "Bob Example <bob@example.com>"
    message["Subject"] = f"{number}: {' '.join(chance.choices(_WORDS, k=5))}"
    message["Message-ID"] = f"<{number}.{chance.getrandbits(64):x}@example.net>"
    message.set_content(text)
    return message


def _letter(chance: random.Random, number: int, size: int) -> bytes:
    """A whole message of exactly that many bytes."""
    data = _message(chance, number, _prose(chance, size)).as_bytes()[: size - 2]
    return data.removesuffix(b"\r").ljust(size - 2, b"!") + b"\r\n"


def _text(chance: random.Random, number: int) -> bytes:
    return _letter(chance, number, _between(chance, 2 * KIBI, 20 * KIBI))


def _html(chance: random.Random, number: int) -> bytes:
    size = _between(chance, 50 * KIBI, 200 * KIBI)
    message = _message(chance, number, _prose(chance, 2 * KIBI))
    images = range(1, chance.randint(2, 6))
    shown = "".join(f'<p><img src="cid:i{image}"></p>\n' for image in images)
    message.add_alternative(f"<html><body><p>Good day</p>\n{shown}</body></html>\n", subtype="html")
    page = message.get_payload(1)
    assert isinstance(page, EmailMessage)
    for image in images:
        content = b"\x89PNG\r\n\x1a\n" + chance.randbytes(size * 3 // 4 // len(images))
        page.add_related(content, "image", "png", cid=f"<i{image}>", filename=f"i{image}.png")
    return _bytes(message)


def _office(chance: random.Random, number: int) -> bytes:
    size = _between(chance, 100 * KIBI, 1024 * KIBI) * 3 // 4  # before base64
    packed = io.BytesIO()
    document = chance.random() < 0.5
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        if document:
            members: dict[str, str | bytes] = {
                "[Content_Types].xml": "<Types/>",
                "word/document.xml": _prose(chance, 50 * KIBI),
                "word/media/image1.png": chance.randbytes(size),
            }
        else:
            members = {
                "readme.txt": _prose(chance, 20 * KIBI),
                "figures.csv": chance.randbytes(size).hex(),
            }
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    called = "letter.docx" if document else "figures.zip"
    return _attached(chance, number, called, packed.getvalue())


def _eicar(chance: random.Random, number: int) -> bytes:
    return _attached(chance, number, "eicar.txt", EICAR)


def _program(chance: random.Random, number: int) -> bytes:
    return _attached(chance, number, "setup.exe", PROGRAM + chance.randbytes(30 * KIBI))


def _attached(chance: random.Random, number: int, name: str, content: bytes) -> bytes:
    message = _message(chance, number, _prose(chance, KIBI))
    message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return _bytes(message)


def _bytes(message: EmailMessage) -> bytes:
    """With boundaries that are the same every time."""
    for number, part in enumerate(message.walk()):
        if part.is_multipart():
            part.set_boundary(f"=_{number}_of_the_load")
    return message.as_bytes()
