"""The day's summary: right counts, nothing told twice, nothing in it that a mail client obeys."""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from letters import read

from spoolscan import cli, config, journal
from spoolscan.jobs import runner
from spoolscan.jobs.summary import report, tally
from spoolscan.jobs.summary.picture import bars
from spoolscan.jobs.summary.tally import Period, percentiles
from spoolscan.journal import History
from spoolscan.spool import Spool

HOSTILE = "\x1b[2J<script>alert(1)</script>{{ 7*7 }}\u202egpj\r\nBcc: x@y"
DAY = datetime(2026, 10, 14, 23, 59).astimezone()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    assert cli.main(["init", str(tmp_path / "spool"), "--domain", "example.com"]) == 0
    return tmp_path / "spool"


def store(root: Path, *rows: dict[str, object]) -> None:
    """Rows as the journal keeps them, without waiting for its thread."""
    columns = journal._COLUMNS
    values = [
        [{"stage": "", "id": "-", "data": "{}", **row}.get(name) for name in columns]
        for row in rows
    ]
    with closing(journal._connect(str(root / journal.FILE))) as database:
        database.executescript(journal._SCHEMA)
        with database:
            database.executemany(journal._INSERT, values)


def test_a_simulated_month_is_counted_right(root: Path) -> None:
    rng = random.Random(7)  # noqa: S311 - a simulation, not a secret
    begin = tally.midnight(DAY - timedelta(days=30))
    rows: list[dict[str, object]] = []
    for _ in range(20_000):
        event = rng.choice(
            ["received", "judged", "judged", "forwarded", "denied", "deferred", "trouble"]
        )
        row: dict[str, object] = {
            "at": begin.timestamp() + rng.random() * 30 * 86400,
            "event": event,
            "direction": rng.choice(["in", "out"]),
            "sender": f"s{rng.randrange(9)}@a.example",
            "recipients": "\n".join(
                f"r{rng.randrange(9)}@b.example" for _ in range(rng.randrange(1, 3))
            ),
            "name": rng.choice(["one", "two", "three"]),
            "size": rng.randrange(1000),
            "seconds": rng.random() * 10,
        }
        if event == "judged":
            row["verdict"] = rng.choice(["clean", "clean", "clean", *tally.BAD])
        if event == "denied":
            row["data"] = json.dumps(
                {"dnsbl": rng.sample(["a.example", "b.example"], rng.randrange(3))}
            )
        rows.append(row)
    store(root, *rows)
    with History(root / journal.FILE) as history:
        for back in (0, 3, 29):
            start = tally.midnight(DAY - timedelta(days=back + 1))
            period = Period(start, tally.midnight(start + timedelta(hours=36)))
            first, last = period.bounds
            of_day = [row for row in rows if first <= float(str(row["at"])) < last]
            told = tally.count(history, period)
            judged = [row for row in of_day if row["event"] == "judged"]
            bad = [row for row in judged if row["verdict"] != "clean"]
            received = [row for row in of_day if row["event"] == "received"]
            assert told.messages == len(received)
            assert told.received["in"][1] == sum(
                int(str(row["size"])) for row in received if row["direction"] == "in"
            )
            assert told.verdicts == Counter(row["verdict"] for row in judged)
            assert told.bad == len(bad)
            assert dict(told.senders) == Counter(row["sender"] for row in bad)
            assert dict(told.recipients) == Counter(
                name for row in bad for name in str(row["recipients"]).split("\n")
            )
            assert {(name, kind): n for name, kind, n in told.found} == Counter(
                (row["name"], row["verdict"]) for row in bad
            )
            assert told.denials == sum(row["event"] == "denied" for row in of_day)
            assert dict(told.listed) == Counter(
                zone
                for row in of_day
                if row["event"] == "denied"
                for zone in json.loads(str(row["data"]))["dnsbl"]
            )
            assert sum(good + poor for good, poor in told.hours) == len(judged)
            assert len(told.hours) == 24
            delays = sorted(
                float(str(row["seconds"])) for row in of_day if row["event"] == "forwarded"
            )
            assert told.delays[0] == delays[-(-len(delays) // 2) - 1]
        month = tally.days(history, DAY, 31)
        assert sum(good + poor for _, good, poor in month) == sum(
            row["event"] == "judged" for row in rows
        )


def test_percentiles_are_by_nearest_rank() -> None:
    assert percentiles([], (50,)) == ()
    assert percentiles([7.0], (50, 99)) == (7.0, 7.0)
    assert percentiles([float(n) for n in range(1, 101)], (50, 95, 99)) == (50.0, 95.0, 99.0)


def test_hostile_words_reach_neither_header_nor_markup(root: Path) -> None:
    at = datetime.now(UTC).timestamp() - 60
    said = {"at": at, "sender": HOSTILE, "recipients": HOSTILE.replace("\n", ""), "name": HOSTILE}
    store(
        root,
        {**said, "event": "judged", "verdict": "infected"},
        {**said, "event": "denied"},
        {**said, "event": "trouble"},
    )
    message = read(report.build(config.load(root), Spool(root), report.last_day()).as_bytes())
    assert message["Bcc"] is None
    text, page = (message.get_body((kind,)).get_content() for kind in ("plain", "html"))  # type: ignore[union-attr] # both are there
    for shown in (text, page):
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        assert "{{ 7*7 }}" in shown
    assert "<script>" in text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_it_is_sent_once_and_after_downtime_from_the_last_one_on(root: Path) -> None:
    settings, spool = config.load(root), Spool(root)

    def run() -> str:
        return runner.run("summary", report.run, settings, spool)

    with time_machine.travel(DAY, tick=False) as clock:
        store(root, {"at": DAY.timestamp() - 60, "event": "received"})
        assert run().startswith("sent as")
        assert run().startswith("told already, at 2026-10-14 23:59")
        clock.shift(timedelta(days=3, hours=5))
        assert run().startswith("sent as")
        assert run().startswith("told already")
    notices = spool.entries("outgoing")
    assert len(notices) == 2
    subjects = []
    for entry in notices:
        with spool.open("outgoing", entry.queue_id) as message:
            assert message.envelope.sender == ""
            subjects.append(read(message.read())["Subject"])
    assert subjects[0].endswith(
        "1 mails, 0 bad, 2026-10-14 00:00 to 2026-10-14 23:59 " + f"{DAY:%Z}"
    )
    assert "0 mails" in subjects[1]
    assert "2026-10-14 23:59 to 2026-10-18 04:59" in subjects[1]


def test_the_command_tells_any_day_and_sends_nothing_when_it_prints(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(root, {"at": DAY.timestamp(), "event": "received", "direction": "out", "size": 5_000_000})
    spool = ["--spool", str(root)]
    assert cli.main(["daysumm", "--date", "2026-10-14", "--print", *spool]) == 0
    told = capsys.readouterr().out
    assert "from our networks                   1         5.0" in told
    saved = tmp_path / "mail.eml"
    assert (
        cli.main(
            [
                "daysumm",
                "--since",
                "2026-10-13",
                "--until",
                "2026-10-15T06:00",
                "--save",
                str(saved),
                *spool,
            ]
        )
        == 0
    )
    kinds = [part.get_content_type() for part in read(saved.read_bytes()).walk()]
    assert kinds.count("image/png") == 2
    assert Spool(root).entries("outgoing") == []
    assert cli.main(["daysumm", "--date", "2026-10-14", *spool]) == 0
    assert len(Spool(root).entries("outgoing")) == 1
    assert cli.main(["daysumm", "--date", "yesterday", *spool]) == 64


def _pixels(picture: bytes) -> list[bytes]:
    """The rows of a picture of ours, checked as a reader of PNG would."""
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    at, data, width, height = 8, b"", 0, 0
    while at < len(picture):
        (size,) = struct.unpack(">I", picture[at : at + 4])
        kind, content = picture[at + 4 : at + 8], picture[at + 8 : at + 8 + size]
        assert struct.unpack(">I", picture[at + 8 + size : at + 12 + size])[0] == zlib.crc32(
            kind + content
        )
        if kind == b"IHDR":
            width, height = struct.unpack(">II", content[:8])
        data += content if kind == b"IDAT" else b""
        at += 12 + size
    raw = zlib.decompress(data)
    assert len(raw) == (width + 1) * height
    return [raw[row * (width + 1) + 1 : (row + 1) * (width + 1)] for row in range(height)]


def test_the_bars_are_as_high_as_their_values() -> None:
    rows = _pixels(bars([(0, 0), (50, 0), (99, 1), (0, 100)], 2))
    columns = [bytes(row[4 + 14 * number + 5] for row in rows) for number in range(4)]
    assert [(column.count(1), column.count(2)) for column in columns] == [
        (0, 0), (40, 0), (79, 1), (0, 80),
    ]  # fmt: skip
    assert _pixels(bars([], 6))
