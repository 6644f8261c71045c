"""What a rule is asked about, and what it may want to know beyond that.

Whether a word fits has three answers: True, False, and None where a lookup had no answer.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal

from spoolscan.domain import a_labels
from spoolscan.receiver.address import Path
from spoolscan.receiver.client import Client


@dataclass(frozen=True, slots=True)
class Fact:
    """Something to be looked up in the DNS; the answer is all that was found.

    ``listed``: the address ``about`` in the black list ``zone``, the codes it has there.
    ``reason``: what that list says of it (TXT).
    ``servers``: the name servers of the domain ``about`` or of the nearest above it, their names
    and addresses.  ``exists``: which of MX, A and AAAA the domain ``about`` has.
    """

    kind: Literal["listed", "reason", "servers", "exists"]
    about: str
    zone: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.about}" + (f" in {self.zone}" if self.zone else "")


Answer = tuple[str, ...] | None  # empty: there is nothing; None: there was no answer
Asking = Generator[Fact, Answer, bool | None]


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address as patterns see it: lower case, unquoted, the domain in A-labels without its dot.

    The null reverse-path is empty throughout.
    """

    local: str
    domain: str

    @classmethod
    def of(cls, path: Path, lacking: str = "") -> Mailbox:
        """``lacking`` is the domain of a path without one, as <postmaster>."""
        domain = canonical_domain(path.domain) or (lacking if path.local else "")
        return cls(_valid(path.local.lower()), domain)

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}" if self.domain else self.local


@dataclass(frozen=True, slots=True)
class Case:
    """One RCPT command: who asks, from whom and to whom.  ``ours`` are the site's domains."""

    client: Client
    sender: Mailbox
    recipient: Mailbox
    ours: frozenset[str]


def canonical_domain(text: str) -> str:
    """A domain as it is compared; what cannot be one stays as it is, in lower case."""
    name = _valid(text.removesuffix(".").lower())
    try:
        return a_labels(name)
    except UnicodeError:
        return name


def _valid(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
