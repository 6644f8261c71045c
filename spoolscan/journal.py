"""What happened, one row an event: SQLite under the spool's var/, beside the mail's path.

Every event that a stage logs (`log.event`) with a name of `EVENTS` becomes a row; nothing else
writes here, so that the journal and the log tell one story.  A thread writes rows in batches: no
caller ever waits, fails, or blocks for the journal.  When rows come faster than the disk takes them
the surplus is dropped, counted, and the count is logged.

==============  ==================================================================================
received        by the receiver: acknowledged; ``seconds`` from the first command to the 250
denied          a recipient or sender refused in the session; ``name`` is the reply
refused         a message refused after DATA
judged          by the scanner; ``seconds`` it took; ``data`` has parts, findings, steps, and ``to``
forwarded       one recipient delivered; ``seconds`` since it was received
deferred        one recipient, not now; ``name`` is what the next hop said
failed          one recipient given up
held            set aside by the forwarder
reported        a report was sent for it
released        by hand, and so rescanned and deleted
job             ``name`` did its work, or did not: ``data`` has ``result``
trouble         an engine cannot answer; ``name`` is the reason
recovered       and can again
==============  ==================================================================================

The journal decides nothing: mail flows without it, and it can be deleted at any time.  A database
that is damaged is set aside as ``journal.damaged`` with a warning, and a new one begun.

`Journal` is the writing side, a handler of the stdlib's logging; `History` the reading side, which
raises TemporaryFailure where the database cannot be read.  Times are seconds since the epoch.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from spoolscan import log
from spoolscan.errors import TemporaryFailure

FILE: Final = "var/journal.db"
EVENTS: Final = frozenset({
    *("received", "denied", "refused", "judged", "forwarded", "deferred", "failed", "held"),
    *("reported", "released", "rescanned", "deleted", "job", "trouble", "recovered"),
})  # fmt: skip
_COLUMNS: Final = (
    *("at", "stage", "event", "id", "direction", "peer", "sender", "recipients", "verdict"),
    *("name", "size", "seconds", "data"),
)
_VERSION: Final = 1
_SCHEMA: Final = f"""
PRAGMA user_version = {_VERSION};
CREATE TABLE IF NOT EXISTS events (
    at REAL NOT NULL, stage TEXT NOT NULL, event TEXT NOT NULL, id TEXT NOT NULL,
    direction TEXT, peer TEXT, sender TEXT, recipients TEXT, verdict TEXT,
    name TEXT, size INTEGER, seconds REAL, data TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_at ON events (at);
CREATE INDEX IF NOT EXISTS events_event ON events (event, at);
CREATE INDEX IF NOT EXISTS events_id ON events (id);
"""
_INSERT: Final = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_MOST_WAITING: Final = 20_000  # rows
_BATCH: Final = 5000  # rows of one transaction
_GATHER: Final = 1.0  # seconds between two transactions, in which rows gather
_PATIENCE: Final = 5.0  # seconds to wait for another process's transaction
_LONGEST: Final = 1000  # characters of one column
_encode: Final = json.JSONEncoder(default=str).encode


@dataclass(frozen=True, slots=True)
class Row:
    """One event.  ``size`` in bytes, ``seconds`` what it took; ``data`` is all else that was said.

    ``direction`` is "in" (from outside) or "out"; ``recipients`` are forward-paths; ``name`` is the
    rule, virus, reply or reason.
    """

    at: float
    stage: str
    event: str
    id: str
    direction: str = ""
    peer: str = ""
    sender: str | None = None
    recipients: tuple[str, ...] = ()
    verdict: str = ""
    name: str = ""
    size: int | None = None
    seconds: float | None = None
    data: Mapping[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        told = {name: getattr(self, name) for name in _COLUMNS}
        return told | {"recipients": list(self.recipients), "data": dict(self.data or {})}


class Journal(logging.Handler):
    """The writing side.  ``close`` writes what waits; it is called once, at the stage's end."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(logging.INFO)
        self._path = str(path)
        self._waiting: queue.SimpleQueue[tuple[Any, ...] | None] = queue.SimpleQueue()
        self._dropped = 0
        self._broken = False
        self._closing = threading.Event()
        self._database: sqlite3.Connection | None = None
        self._file = (0, 0)
        # Started when something happens: a stage can make a copy of itself until then.
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)

    def emit(self, record: logging.LogRecord) -> None:
        """Take an event's record, if it is one that belongs here.  Never waits."""
        happened = getattr(record, "happened", None)
        if isinstance(happened, log.Event) and happened.values.get("event") in EVENTS:
            if self._waiting.qsize() >= _MOST_WAITING:
                self._dropped += 1
            else:
                self._waiting.put(_columns(record.created, happened))
                if self._thread.ident is None:
                    with suppress(RuntimeError):  # no more threads for now: with the next event
                        self._thread.start()

    def close(self) -> None:
        """Write what waits, and end the thread."""
        logging.getLogger("spoolscan").removeHandler(self)
        if self._thread.is_alive():
            self._closing.set()
            self._waiting.put(None)
            self._thread.join(2 * _PATIENCE)
        super().close()

    # -- the thread --------------------------------------------------------------------------------

    def _write(self) -> None:
        last, again = False, 0.0
        while not last:
            rows = [self._waiting.get()]
            if rows[0] is not None:  # the first after a while is written at once
                self._closing.wait(max(0.0, again - time.monotonic()))
            while len(rows) < _BATCH and not self._waiting.empty():
                rows.append(self._waiting.get())
            last = None in rows
            self._store([row for row in rows if row is not None])
            again = time.monotonic() + _GATHER
        self._shut()

    def _store(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """One transaction; what cannot be written is dropped, and that is said once."""
        try:
            try:
                self._insert(rows)
            except sqlite3.OperationalError:  # locked, full, not to be opened: not damage
                raise
            except sqlite3.DatabaseError as error:
                self._set_aside(error)
                self._insert(rows)
        except (sqlite3.Error, OSError) as error:
            self._shut()
            self._dropped += len(rows)
            if not self._broken:
                self._say("journal-failed", f"{self._path}: {error}; events are lost, mail is not")
            self._broken = True
        else:
            if self._dropped:
                self._say("journal-dropped", f"{self._dropped} events were not written")
            self._dropped, self._broken = 0, False

    def _insert(self, rows: Sequence[tuple[Any, ...]]) -> None:
        with self._opened() as database:
            database.executemany(_INSERT, rows)

    def _opened(self) -> sqlite3.Connection:
        """The same for all batches, until the file is another: deleted, or set aside."""
        if self._database is not None and self._file == _identity(self._path):
            return self._database
        self._shut()
        self._database = database = _connect(self._path)
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            raise sqlite3.DatabaseError(f"of version {version}, and this is {_VERSION}")
        database.executescript(_SCHEMA)
        self._file = _identity(self._path)
        return database

    def _shut(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            with suppress(sqlite3.Error):
                database.close()

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        self._shut()
        self._say("journal-damaged", f"{self._path}: {error}; set aside, a new one is begun")
        os.replace(self._path, Path(self._path).with_suffix(".damaged"))
        for left in ("-wal", "-shm"):
            Path(self._path + left).unlink(missing_ok=True)

    def _say(self, what: str, reason: str) -> None:
        log.event("journal", "-", logging.ERROR, event=what, reason=reason)


def _connect(path: str) -> sqlite3.Connection:
    """Raises sqlite3.Error."""
    previous = os.umask(0o077)
    try:
        database = sqlite3.connect(path, timeout=_PATIENCE)
    finally:
        os.umask(previous)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = OFF")
    return database


def _identity(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def _columns(at: float, happened: log.Event) -> tuple[Any, ...]:
    said = {**happened.values, **happened.detail}
    recipients = said.pop("recipients", ())
    return (
        at,
        happened.stage,
        said.pop("event"),
        happened.queue_id,
        _text(said.pop("direction", None)),
        _text(said.pop("peer", None)),
        _text(said.pop("sender", None)),
        "\n".join(_text(it) or "" for it in recipients),
        _text(said.pop("verdict", None)),
        _text(said.pop("name", None)),
        said.pop("size", None),
        said.pop("seconds", None),
        _encode(said),
    )


def _text(value: object) -> str | None:
    """A value as it was said, cut; whoever shows it makes it safe for the place."""
    if value is None:
        return None
    return str(value)[:_LONGEST].encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True, slots=True)
class Search:
    """What is asked for; all of it must be so.  Words are found anywhere in an address."""

    sender: str = ""
    recipient: str = ""
    id: str = ""
    verdict: str = ""
    event: str = ""
    since: float | None = None
    until: float | None = None

    def clause(self) -> tuple[str, list[Any]]:
        """A WHERE clause and its values."""
        terms: list[tuple[str, str | float | None]] = [
            ("id = ?", self.id),
            ("verdict = ?", self.verdict),
            ("event = ?", self.event),
            ("instr(lower(sender), ?)", self.sender.lower()),
            ("instr(lower(recipients), ?)", self.recipient.lower()),
            ("at >= ?", self.since),
            ("at < ?", self.until),
        ]
        asked = [(term, value) for term, value in terms if value not in ("", None)]
        return " AND ".join(term for term, _ in asked) or "1", [value for _, value in asked]


class History:
    """The reading side.  Use it with ``with``.  Raises TemporaryFailure where it cannot be read."""

    def __init__(self, path: Path | str) -> None:
        self._path = str(path)
        try:
            where = f"file:{quote(self._path)}?mode=ro"
            self._database = sqlite3.connect(where, uri=True, timeout=_PATIENCE)
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def rows(self, search: Search, limit: int = -1) -> Iterator[Row]:
        """What is found, the latest ``limit`` of it, in the order it happened."""
        where, values = search.clause()
        found = self.query(
            f"SELECT * FROM (SELECT rowid AS n, * FROM events WHERE {where}"  # noqa: S608 - the clause is ours, its values are bound
            " ORDER BY at DESC, n DESC LIMIT ?) ORDER BY at, n",
            [*values, limit],
        )
        for _, *columns in found:
            row = dict(zip(_COLUMNS, columns, strict=True))
            row["recipients"] = tuple(filter(None, row["recipients"].split("\n")))
            row["data"] = json.loads(row["data"])
            for name in ("direction", "peer", "verdict", "name"):
                row[name] = row[name] or ""
            yield Row(**row)

    def query(self, statement: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Rows of any SELECT over ``events``; the summary counts by it."""
        try:
            yield from self._database.execute(statement, values)
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def _failure(self, error: sqlite3.Error) -> TemporaryFailure:
        return TemporaryFailure(
            f"{self._path}: {error}; the journal is begun with the first event of a running stage"
        )


def expire(path: Path | str, before: float) -> int:
    """Delete what happened earlier; returns how many rows.  Raises TemporaryFailure."""
    try:
        with closing(_connect(str(path))) as database, database:
            database.executescript(_SCHEMA)
            return database.execute("DELETE FROM events WHERE at < ?", [before]).rowcount
    except sqlite3.Error as error:
        raise TemporaryFailure(f"{path}: {error}") from error
