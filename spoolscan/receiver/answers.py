"""What the next hop answered about addresses: remembered in var/recipients.sqlite.

A file, so that an administrator's command sees what the receiver knows, and clears it.  It is a
memory and no promise: nothing in it is synced, and whoever deletes it loses no mail.  Bounded: when
it is full, refused addresses go first, the oldest first, so that a list of names tried out on us
never displaces those who exist.

Raises TemporaryFailure.  One thread at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spoolscan.errors import TemporaryFailure

FILE: Final = "var/recipients.sqlite"
_BUSY_SECONDS: Final = 0.5
_SLACK: Final = 100  # more than the largest number, between two clearances

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS mailboxes (
    mailbox TEXT PRIMARY KEY, address TEXT NOT NULL, known INTEGER NOT NULL, at REAL NOT NULL,
    words TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS mailboxes_by_worth ON mailboxes (known, at);
"""
_SELECT: Final = "SELECT address, known, at, words FROM mailboxes"


@dataclass(frozen=True, slots=True)
class Answer:
    """``known`` is None where the next hop could not tell; ``words`` are its own, made printable.

    ``address`` is the spelling in which it was asked, of the many that a mailbox may have; ``at``
    is in seconds since the epoch.
    """

    address: str
    known: bool | None
    words: str
    at: float = 0.0


class Answers:
    """``most`` is how many are kept."""

    def __init__(self, path: Path, most: int) -> None:
        """Opens the file, and makes it where it is not there.  Raises TemporaryFailure."""
        self._path = path
        self._most = most
        self._put = 0
        with self._doing("opening"):
            self._db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.executescript(_SCHEMA)

    def get(self, mailbox: str) -> Answer | None:
        """The last answer, however old; ``mailbox`` as `address.Path` has it."""
        with self._doing("reading"):
            found = self._db.execute(f"{_SELECT} WHERE mailbox = ?", (mailbox,))
            row = found.fetchone()
        return _answer(row) if row else None

    def put(self, mailbox: str, answer: Answer) -> None:
        """Remember it in place of an older one."""
        row = (mailbox, answer.address, bool(answer.known), answer.at, answer.words)
        with self._doing("writing"):
            self._db.execute("INSERT OR REPLACE INTO mailboxes VALUES (?, ?, ?, ?, ?)", row)
            self._put += 1
            if self._put % _SLACK == 0:
                self._clear_excess()

    def all(self) -> list[Answer]:
        """By mailbox."""
        with self._doing("reading"):
            return list(map(_answer, self._db.execute(f"{_SELECT} ORDER BY mailbox")))

    def clear(self, mailbox: str | None = None) -> int:
        """Forget one mailbox, or all; returns how many were forgotten."""
        with self._doing("clearing"):
            if mailbox is None:
                return self._db.execute("DELETE FROM mailboxes").rowcount
            return self._db.execute("DELETE FROM mailboxes WHERE mailbox = ?", (mailbox,)).rowcount

    def close(self) -> None:
        """Whatever is asked afterwards fails."""
        self._db.close()

    def _clear_excess(self) -> None:
        (count,) = self._db.execute("SELECT count(*) FROM mailboxes").fetchone()
        self._db.execute(
            "DELETE FROM mailboxes WHERE mailbox IN"
            " (SELECT mailbox FROM mailboxes ORDER BY known, at LIMIT ?)",
            (max(0, count - self._most),),
        )

    @contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise TemporaryFailure(
                f"{what} {self._path}: {error}; where it is damaged, delete it: it is only a memory"
            ) from error


def _answer(row: tuple[str, int, float, str]) -> Answer:
    address, known, at, words = row
    return Answer(address, bool(known), words, at)
