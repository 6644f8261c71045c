"""The journal: what stages say becomes rows, and nothing that befalls it reaches the mail."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from spoolscan import cli, journal, log
from spoolscan.errors import TemporaryFailure
from spoolscan.journal import History, Journal, Search

EVERYTHING = Search()
ID = "20261121t053000z-d6m01v"


@pytest.fixture(autouse=True)
def events_are_on() -> Iterator[None]:
    logger = logging.getLogger("spoolscan")
    before = logger.level
    logger.setLevel(logging.INFO)
    yield
    logger.setLevel(before)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "var").mkdir()
    return tmp_path / journal.FILE


def _write(path: Path, count: int = 1) -> None:
    writing = Journal(path)
    log.listen(writing)
    for number in range(count):
        log.event(
            "receiver",
            ID,
            event="received",
            peer="192.0.2.7",
            size=100 + number,
            sender="a@b.example",
            detail={"recipients": ["Bob@C.example", "d@e.example"], "helo": "mx\x1b[2J"},
        )
        log.event("scanner", ID, event="judged", verdict="infected", name="EICAR", seconds=0.25)
    log.event("scanner", "-", event="engine", name="yara")  # of no interest later
    writing.close()


def _all(path: Path, search: Search = EVERYTHING) -> list[journal.Row]:
    with History(path) as history:
        return list(history.rows(search))


def test_each_event_of_interest_is_a_row(path: Path) -> None:
    _write(path)
    received, judged = _all(path)
    assert (received.stage, received.event, received.id) == ("receiver", "received", ID)
    assert received.recipients == ("Bob@C.example", "d@e.example")
    assert (received.sender, received.peer, received.size) == ("a@b.example", "192.0.2.7", 100)
    assert received.data == {"helo": "mx\x1b[2J"}
    assert (judged.verdict, judged.name, judged.seconds) == ("infected", "EICAR", 0.25)
    assert judged.at >= received.at


def test_detail_is_not_in_the_log_line(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _write(path)
    assert "Bob@C.example" not in caplog.text
    assert "a@b.example" in caplog.text


@pytest.mark.parametrize(
    ("search", "found"),
    [
        (Search(sender="B.EXAMPLE"), ["received"]),
        (Search(recipient="bob@"), ["received"]),
        (Search(recipient="nobody"), []),
        (Search(id=ID), ["received", "judged"]),
        (Search(id="other"), []),
        (Search(verdict="infected"), ["judged"]),
        (Search(event="received"), ["received"]),
        (Search(since=0.0), ["received", "judged"]),
        (Search(until=1.0), []),
        (Search(sender="' OR 1 --"), []),
    ],
    ids=str,
)
def test_a_search_finds_what_is_asked_for(path: Path, search: Search, found: list[str]) -> None:
    _write(path)
    assert [row.event for row in _all(path, search)] == found


def test_the_latest_are_given_where_there_are_more(path: Path) -> None:
    _write(path, 50)
    with History(path) as history:
        assert [row.size for row in history.rows(Search(event="received"), 3)] == [147, 148, 149]


def test_a_damaged_journal_is_set_aside_and_a_new_one_begun(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _write(path)
    path.write_bytes(b"no database at all, " * 500)
    _write(path)
    assert [row.event for row in _all(path)] == ["received", "judged"]
    assert path.with_suffix(".damaged").read_bytes().startswith(b"no database")
    assert "journal-damaged" in caplog.text


def test_one_of_another_version_is_set_aside(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _write(path)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    _write(path)
    assert len(_all(path)) == 2
    assert "of version 99" in caplog.text


def test_a_damaged_page_is_found_too(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _write(path, 200)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    _write(path)
    assert "journal-damaged" in caplog.text
    assert len(_all(path)) == 2


def test_a_journal_that_cannot_be_written_harms_nobody_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writing = Journal(tmp_path / "nowhere" / "journal.db")
    log.listen(writing)
    for _ in range(3):
        log.event("receiver", ID, event="received")
    writing.close()
    assert caplog.text.count("journal-failed") == 1


def test_events_that_nobody_takes_are_dropped_and_counted(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    storing, stored = threading.Event(), threading.Event()
    real = Journal._store

    def slow(self: Journal, rows: Sequence[tuple[object, ...]]) -> None:
        storing.set()
        stored.wait(60)
        real(self, rows)

    monkeypatch.setattr(journal, "_MOST_WAITING", 10)
    monkeypatch.setattr(Journal, "_store", slow)
    writing = Journal(path)
    log.listen(writing)
    log.event("receiver", ID, event="received")
    assert storing.wait(60)
    for _ in range(50):
        log.event("receiver", ID, event="received")
    stored.set()
    writing.close()
    assert len(_all(path)) == 11
    assert "40 events were not written" in caplog.text


def test_it_is_for_the_owner_alone(path: Path) -> None:
    _write(path)
    assert path.stat().st_mode & 0o077 == 0


def test_a_closed_journal_hears_nothing_more(path: Path) -> None:
    _write(path)
    log.event("receiver", ID, event="received")
    assert len(_all(path)) == 2


def test_what_is_old_is_deleted(path: Path) -> None:
    _write(path, 5)
    rows = _all(path)
    assert journal.expire(path, rows[-1].at + 1) == 10
    assert _all(path) == []


def test_a_journal_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TemporaryFailure, match="begun with the first event"):
        History(tmp_path / "journal.db")


def test_log_prints_a_table_of_eighty_columns(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(path)
    assert cli.main(["log", "--spool", str(path.parents[1])]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["when", "id", "event", "what"]
    assert "infected EICAR" in lines[2]
    assert all(len(line) <= 80 for line in lines)


def test_log_as_json_is_a_list_with_ids(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write(path)
    assert cli.main(["log", "--json", "--since", "1h", "--spool", str(path.parents[1])]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first["id"] == second["id"] == ID
    assert first["recipients"] == ["Bob@C.example", "d@e.example"]


def test_log_refuses_a_time_it_does_not_know(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["log", "--since", "yesterday", "--spool", str(path.parents[1])]) == 64
    assert "2026-11-21T14:30" in capsys.readouterr().err


def test_explain_tells_the_story_and_nothing_a_terminal_obeys(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(path)
    assert cli.main(["explain", ID, "--spool", str(path.parents[1])]) == 0
    told = capsys.readouterr().out
    assert "received by the receiver" in told
    assert "judged by the scanner, in 0.250 s" in told
    assert "EICAR" in told
    assert "\x1b" not in told


def test_explain_of_a_message_unknown(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write(path)
    assert cli.main(["explain", "\x1b[2J", "--spool", str(path.parents[1])]) == 65
    assert "\x1b" not in capsys.readouterr().err
