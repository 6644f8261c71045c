"""The shared corpus, read in place: mails and containers that we did not write, and their oracle.

It is found through SPOOLSCAN_CORPUS, or beside the repository; nothing of it is copied here.
"""

from __future__ import annotations

import base64
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ.get("SPOOLSCAN_CORPUS", Path(__file__).parents[2] / "shared" / "corpus"))


@dataclass(frozen=True, slots=True)
class Row:
    """One sample: ``own`` is what its source says of it, ``parsers`` the names others see."""

    path: str
    kind: str
    own: dict[str, Any]
    parsers: dict[str, list[str]] | None
    decoded_eicar: int
    clamav: list[str]

    @property
    def is_mail(self) -> bool:
        return self.parsers is not None

    def mail(self) -> bytes:
        """The sample, or a mail that carries it."""
        data = (FOLDER / self.path).read_bytes()
        if self.is_mail:
            return data
        name = self.path.rpartition("/")[2].encode("ascii", "replace")
        head = b'Content-Type: application/octet-stream; name="%s"\r\n' % name
        head += b"From: a@example.org\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        return head + base64.encodebytes(data).replace(b"\n", b"\r\n")

    def names(self) -> set[str]:
        """Those its source tells, and those that most parsers see."""
        seen = Counter(name for found in (self.parsers or {}).values() for name in set(found))
        most = {name for name, count in seen.items() if count > len(self.parsers or {}) / 2}
        return {*most, *(self.own.get("names") or ())}

    def digests(self) -> set[str]:
        """SHA-256 of the payloads its source tells, where it tells them of the decoded bytes."""
        stated = self.own.get("sha256")
        return set(stated.values()) if isinstance(stated, dict) else set()


def absent() -> str | None:
    """Why there is no corpus; None where there is one."""
    if (FOLDER / "ORACLE.jsonl").is_file():
        return None
    return f"no corpus at {FOLDER}: set SPOOLSCAN_CORPUS"


@cache
def rows() -> tuple[Row, ...]:
    """All that is a mail or can be one's attachment; none where there is no corpus."""
    if absent():
        return ()
    with (FOLDER / "ORACLE.jsonl").open(encoding="utf-8") as lines:
        return tuple(_read(lines))


def samples(*kinds: str) -> Iterator[tuple[Row, bytes]]:
    """Those of these kinds; skips the test where there is no corpus."""
    if reason := absent():
        pytest.skip(reason)
    for row in rows():
        if row.kind in kinds:
            yield row, (FOLDER / row.path).read_bytes()


def _read(lines: Iterator[str] | Any) -> Iterator[Row]:
    for row in map(json.loads, lines):
        if row["kind"] != "smtp dialogue":
            yield Row(
                row["path"],
                row["kind"],
                row["own"] or {},
                row["parsers"],
                row["n_eicar"] or 0,
                row["clamav"] or [],
            )
