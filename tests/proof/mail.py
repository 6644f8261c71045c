"""Letters that are told apart when they arrive, and what is to become of each kind.

=========  ==========================================  ===========================================
kind       what                                        must end
=========  ==========================================  ===========================================
clean      an ordinary one, for two                    with the next hop
refused    one of its two recipients is refused        with the next hop, and a report with alice
virus      EICAR in a document                         in quarantine/, never with the next hop
sealed     an archive that nobody can open             in hold/, never with the next hop
=========  ==========================================  ===========================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random
from typing import Final

from clamd_server import EICAR
from letters import letter, with_attachment

ALICE: Final = "alice@example.net"
GONE: Final = "gone@example.com"
KINDS: Final = ("clean", "refused", "virus", "sealed")
PASSED: Final = ("clean", "refused")
SUBJECT: Final = re.compile(rb"^Subject: proof ([a-z]+ [0-9a-z]+)\r?$", re.MULTILINE)
_WORDS: Final = [
    "a",
    "mail",
    "is",
    "as",
    "good",
    "as",
    "the",
    "day",
    "on",
    "which",
    "it",
    "comes",
    "and",
    "not",
    "the",
    "night",
]
_BROKEN_ZIP: Final = b"PK\3\4\x14\0\1\0\x63\0" + b"\0" * 16 + b"\5\0\0\0a.txtno end of it"


@dataclass(frozen=True)
class Letter:
    """``name`` is unique; ``data`` has CRLF line ends and is what goes over the wire."""

    kind: str
    number: int
    data: bytes

    @property
    def name(self) -> str:
        return f"{self.kind} {self.number}"

    @property
    def recipients(self) -> tuple[str, ...]:
        return ("bob@example.com", GONE if self.kind == "refused" else "carol@example.com")

    @property
    def passes(self) -> bool:
        """Whether the next hop may ever see it."""
        return self.kind in PASSED


def make(kind: str, number: int, length: int = 1500) -> Letter:
    """The same one each time; of about that many bytes."""
    subject = f"proof {kind} {number}"
    # No two sectors alike, and none like that of another letter.
    chance = Random(f"{kind} {number}")  # noqa: S311 - the same each time
    lines = (" ".join(chance.choices(_WORDS, k=10)) for _ in range(max(length // 60, 1)))
    text = "\n".join(lines) + "\n"
    match kind:
        case "virus":
            data = with_attachment(subject, "offer.doc", EICAR)
        case "sealed":
            data = with_attachment(subject, "offer.zip", _BROKEN_ZIP)
        case _:
            data = letter(subject, text)
    return Letter(kind, number, data)


def name_of(data: bytes) -> str:
    """Of the letter that this is, by its own header; "" where it is none (a notice, say)."""
    head = data.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    found = SUBJECT.search(head)
    return found[1].decode() if found else ""
