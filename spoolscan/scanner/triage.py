"""What is surely harmless, by what a part says of itself and what its bytes say.

Triage may only ever say "surely harmless": a part is suspicious unless its declared types, its
names and its content agree on a kind that no client runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from spoolscan.scanner.content import is_plain_text, sniff

_TEXT_NAMES: Final = (".txt", ".text", ".log", ".md", ".asc", ".patch", ".diff", ".sig")
_IMAGES: Final = {
    "image/png": (".png",),
    "image/jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "image/gif": (".gif",),
}
_MESSAGES: Final = ("message/rfc822", "message/global", "message/news")


def suspicion(data: bytes, names: Sequence[str], media_types: Sequence[str]) -> str | None:
    """Why this content is worth scanning; None when it is surely harmless."""
    if not data:
        return None
    if all(kind == "text/plain" for kind in media_types) and _end_in(names, _TEXT_NAMES):
        return None if is_plain_text(data) else "text that is not plain"
    found = sniff(data)
    endings = _IMAGES.get(found)
    if endings is None or not names:
        return f"not surely harmless: {found}"
    if all(kind == found for kind in media_types) and _end_in(names, endings):
        return None
    return f"name, type and content differ: {found}"


def _end_in(names: Sequence[str], endings: tuple[str, ...]) -> bool:
    return all(name.casefold().endswith(endings) for name in names)


def is_message(data: bytes, media_types: Sequence[str]) -> bool:
    """Whether a client would open this as a mail of its own."""
    return any(kind in _MESSAGES for kind in media_types) or sniff(data) == "message/rfc822"
