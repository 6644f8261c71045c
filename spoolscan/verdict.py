"""What inspection says of a message: verdict, findings, parts, and the report that holds them.

The JSON form (`Report.as_dict`) is kept stable, for other programs read it.  It is also how a
worker process answers the scanner daemon, so `Report.from_dict` trusts nothing it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any, Final


class Verdict(IntEnum):
    """Ordered by gravity: a message's verdict is the gravest of its findings."""

    CLEAN = 0
    UNSCANNABLE = 1
    BANNED = 2
    INFECTED = 3

    def __str__(self) -> str:
        return self.name.lower()


class Cause(Enum):
    """Why something could not be read to the end; each is a policy of its own in the settings."""

    LIMIT = "limit"
    AMBIGUOUS = "ambiguous"
    UNREADABLE = "unreadable"
    UNOPENED = "unopened"
    ENCRYPTED = "encrypted"
    UNLOCKED = "unlocked"
    DECEPTIVE = "deceptive"
    SEALED = "sealed"


_CAUSES: Final = frozenset(cause.value for cause in Cause)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A reader's word that it may not have seen everything, and why.  Never the sender's words."""

    cause: Cause
    reason: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found.

    ``path`` leads through the nesting to the part (the whole message is the empty path), ``name``
    is the rule, virus or reason, ``engine`` is who says so: an engine's name, ``matches.bad``, or
    ``reader``.
    """

    verdict: Verdict
    path: tuple[str, ...]
    name: str
    engine: str

    @property
    def cause(self) -> Cause | None:
        """Why it is UNSCANNABLE: what the reader said, else a limit; None for other verdicts."""
        if self.verdict is not Verdict.UNSCANNABLE:
            return None
        word = self.name.partition(":")[0]
        return Cause(word) if word in _CAUSES else Cause.LIMIT

    @classmethod
    def of_doubt(
        cls, doubt: Doubt, path: tuple[str, ...], *, remark: bool = False, by: str = "reader"
    ) -> Finding:
        """A reader's doubt, or an engine's, as a finding; its name begins with the cause.

        A remark is for the record only: its verdict is CLEAN.
        """
        name = f"{doubt.cause.value}: {doubt.reason}"
        return cls(Verdict.CLEAN if remark else Verdict.UNSCANNABLE, path, name, by)

    def as_dict(self) -> dict[str, Any]:
        return {
            "verdict": str(self.verdict),
            "path": list(self.path),
            "name": self.name,
            "engine": self.engine,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Finding:
        """Raises KeyError, TypeError or ValueError where the form is not ours."""
        return cls(
            Verdict[str(data["verdict"]).upper()],
            _strings(data["path"]),
            str(data["name"]),
            str(data["engine"]),
        )


@dataclass(frozen=True, slots=True)
class Part:
    """One part in one reading.

    ``number`` counts from 1 in the order found; ``names`` holds every reading of its name, the
    likeliest first; ``size`` (bytes) and ``sha256`` are of the decoded content and None where it
    was not decoded; ``suspicious`` is the rule that made it worth decoding, None for harmless.
    """

    number: int
    path: tuple[str, ...]
    names: tuple[str, ...]
    media_type: str
    size: int | None = None
    sha256: str | None = None
    suspicious: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "path": list(self.path),
            "names": list(self.names),
            "media_type": self.media_type,
            "size": self.size,
            "sha256": self.sha256,
            "suspicious": self.suspicious,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Part:
        """Raises KeyError, TypeError or ValueError where the form is not ours."""
        size, digest, rule = data["size"], data["sha256"], data["suspicious"]
        return cls(
            int(data["number"]),
            _strings(data["path"]),
            _strings(data["names"]),
            str(data["media_type"]),
            None if size is None else int(size),
            None if digest is None else str(digest),
            None if rule is None else str(rule),
        )


@dataclass(slots=True)
class Report:
    """All that inspection saw of one message."""

    parts: list[Part] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        return max((finding.verdict for finding in self.findings), default=Verdict.CLEAN)

    def as_dict(self) -> dict[str, Any]:
        return {
            "verdict": str(self.verdict),
            "parts": [part.as_dict() for part in self.parts],
            "findings": [finding.as_dict() for finding in self.findings],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Report:
        """Raises KeyError, TypeError or ValueError where the form is not ours, or contradicts."""
        report = cls(
            [Part.from_dict(part) for part in data["parts"]],
            [Finding.from_dict(finding) for finding in data["findings"]],
        )
        if str(report.verdict) != data["verdict"]:
            raise ValueError(f"verdict {data['verdict']!r} is not that of its findings")
        return report


def _strings(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError("expected a list of strings")
    return tuple(value)
