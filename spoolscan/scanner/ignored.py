"""Signatures that the site does not want to hear of: ``etc/ignore``, a name a line.

::

    # what an engine calls it; * and ? and [abc] stand for what they do in a shell
    Heuristics.Phishing.*
    Win.Trojan.Agent-4711    until=2027-01-31

An engine's hit of that name is a remark in the report and leaves the message clean; ``until`` is
the last day (UTC) on which that is so.  Letters count as they are written.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, replace
from datetime import date
from typing import Final, Self

from spoolscan.errors import ConfigError
from spoolscan.verdict import Finding, Verdict

_LINE: Final = re.compile(r"(\S+)(?:\s+until=(\d{4}-\d\d-\d\d))?")
_WILD: Final = re.compile(r"\[[^\]]*\]|[*?]")
_SHORTEST: Final = 3  # letters of a name: "*" would let every virus pass


@dataclass(frozen=True, slots=True)
class Entry:
    """One line; ``until`` None: for ever."""

    pattern: str
    until: date | None = None

    def is_over(self, today: date) -> bool:
        return self.until is not None and self.until < today


@dataclass(frozen=True, slots=True)
class Ignored:
    """What is ignored, in the order of the file."""

    entries: tuple[Entry, ...] = ()

    @classmethod
    def parse(cls, content: bytes, path: str) -> Self:
        """Raises ConfigError naming file, line and what is wrong."""
        entries: list[Entry] = []
        for number, raw in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            found = _LINE.fullmatch(line)
            try:
                until = date.fromisoformat(found[2]) if found and found[2] else None
            except ValueError:
                found = None
            if found is None:
                raise ConfigError(
                    f"{path}:{number}: {line[:80]!r}: allowed: NAME, or NAME until=YYYY-MM-DD"
                )
            if len(_WILD.sub("", found[1])) < _SHORTEST:
                raise ConfigError(
                    f"{path}:{number}: {line[:80]!r}: fits nearly every signature, and would "
                    "let every virus pass; write more of the name"
                )
            entries.append(Entry(found[1], until))
        return cls(tuple(entries))

    def on(self, today: date) -> Ignored:
        """What counts on that day."""
        return Ignored(tuple(entry for entry in self.entries if not entry.is_over(today)))

    def judge(self, finding: Finding) -> Finding:
        """The same, or a remark where the site ignores what an engine calls so."""
        if finding.verdict < Verdict.BANNED or not self._has(finding.name):
            return finding
        return replace(finding, verdict=Verdict.CLEAN, name=f"ignored: {finding.name}")

    def _has(self, name: str) -> bool:
        return any(fnmatch.fnmatchcase(name, entry.pattern) for entry in self.entries)
