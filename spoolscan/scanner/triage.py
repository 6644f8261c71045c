"""What is surely harmless, by what a part says of itself and what its bytes say.

Triage may only ever say "surely harmless": a part is suspicious unless its declared types, its
names and its content agree on a kind that no client runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from spoolscan.scanner.content import is_plain_text, sniff
from spoolscan.scanner.traces import Traces

_TEXT_NAMES: Final = (".txt", ".text", ".log", ".md", ".asc", ".patch", ".diff", ".sig")
_IMAGES: Final = {  # the endings of their names, and what their bytes end with
    "image/png": ((".png",), b"IEND\xaeB`\x82"),
    "image/jpeg": ((".jpg", ".jpeg", ".jpe", ".jfif"), b"\xff\xd9"),
    "image/gif": ((".gif",), b";"),
}
# An archive may follow a picture and hide its tail in a comment that ends as pictures do.
_FOLLOWERS: Final = Traces(
    [
        rb"PK\x05\x06",
        rb"PK\x03\x04",
        rb"Rar!\x1a\x07",
        rb"7z\xbc\xaf\x27\x1c",
        rb"MSCF\x00\x00\x00\x00",
        rb"PE\x00\x00",
        rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        rb"%PDF-",
    ]
)
_MESSAGES: Final = ("message/rfc822", "message/global", "message/news")


def suspicion(data: bytes, names: Sequence[str], media_types: Sequence[str]) -> str | None:
    """Why this content is worth scanning; None when it is surely harmless."""
    if not data:
        return None
    if all(kind == "text/plain" for kind in media_types) and _end_in(names, _TEXT_NAMES):
        return None if is_plain_text(data) else "text that is not plain"
    found = sniff(data)
    if found not in _IMAGES or not names:
        return f"not surely harmless: {found}"
    endings, last = _IMAGES[found]
    if any(kind != found for kind in media_types) or not _end_in(names, endings):
        return f"name, type and content differ: {found}"
    if not data.endswith(last) or _FOLLOWERS.seen(data):
        return f"more than a picture: {found}"
    return None


def _end_in(names: Sequence[str], endings: tuple[str, ...]) -> bool:
    return all(name.casefold().endswith(endings) for name in names)


def is_message(data: bytes, media_types: Sequence[str]) -> bool:
    """Whether a client would open this as a mail of its own."""
    return any(kind in _MESSAGES for kind in media_types) or sniff(data) == "message/rfc822"
