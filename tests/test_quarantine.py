"""The quarantine's commands: looked at, released for sure, scanned again, deleted, expired."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from builders import message, names, put
from gateway import ADMIN, Gateway
from letters import PROGRAM, letter, with_attachment
from loopback import until

from spoolscan import cli, config, journal, quarantine
from spoolscan.jobs import expiry, runner
from spoolscan.journal import History, Search
from spoolscan.spool import Gone, Spool

HOSTILE = "\x1b[2J\u202e<b>{{ 7*7 }}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    assert cli.main(["init", str(tmp_path / "spool"), "--domain", "example.com"]) == 0
    return tmp_path / "spool"


def set_aside(
    root: Path, day: str = "2026-11-20", body: bytes | None = None, why: str = "banned"
) -> str:
    """A message in quarantine with a part beside it."""
    spool = Spool(root)
    queue_id = put(spool, body, sender="mallory@example.net")
    with spool.claim(queue_id) as claimed:
        claimed.quarantine(day, why, [("01-game_exe.part", b"x" * 1000)])
    return queue_id


def run(root: Path, *arguments: str) -> int:
    return cli.main(["quarantine", "--spool", str(root), *arguments])


def test_list_shows_all_of_it_in_eighty_columns(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = set_aside(root), set_aside(root, "2026-11-21")
    capsys.readouterr()
    assert run(root, "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["id", first, second]
    assert all(len(line) <= 80 for line in lines)
    assert run(root, "list", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in told] == [first, second]
    assert told[0]["sender"] == "mallory@example.net"


def test_search_finds_words_of_envelope_and_reason(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_aside(root, why="banned: game.exe")
    wanted = set_aside(root, why="infected: Eicar-Test")
    capsys.readouterr()
    assert run(root, "search", "EICAR", "mallory", "--json") == 0
    assert [row["id"] for row in json.loads(capsys.readouterr().out)] == [wanted]


def test_show_obeys_nothing_that_the_mail_says(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queue_id = set_aside(root, body=message(subject=HOSTILE), why=f"banned: {HOSTILE}\nline two")
    capsys.readouterr()
    assert run(root, "show", queue_id) == 0
    told = capsys.readouterr().out
    assert "line two" in told.splitlines()
    assert "01-game_exe.part  1000 bytes" in told
    assert "Subject: " in told
    assert "\x1b" not in told
    assert "\u202e" not in told


def test_release_puts_it_into_outgoing_and_says_who_did(root: Path) -> None:
    queue_id = set_aside(root)
    assert run(root, "release", queue_id) == 0
    with Spool(root).open("outgoing", queue_id) as released:
        assert released.envelope.scan.result == "released"
        assert [it.address for it in released.envelope.recipients] == ["bob@example.com"]
    assert names(Spool(root), "quarantine/2026-11-20") == [f"{queue_id}.why.txt", f"{queue_id}_d"]
    with History(root / journal.FILE) as history:
        (row,) = history.rows(Search(event="released"))
    assert row.id == queue_id
    assert (row.data or {})["by"]


def test_what_is_not_all_there_releases_nothing(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queue_id = set_aside(root)
    for wrong in ("20261121t053000z-d6m01v", "../../etc/passwd", "\x1b[2J"):
        assert run(root, "release", queue_id, wrong) != 0
        assert "\x1b" not in capsys.readouterr().err
    assert Spool(root).entries("outgoing") == []


def test_rescan_gives_it_to_the_scanner_again(root: Path) -> None:
    queue_id = set_aside(root)
    assert run(root, "rescan", queue_id) == 0
    with Spool(root).open("incoming", queue_id) as again:
        assert again.envelope.scan.result == "-"


def test_forward_sends_a_copy_and_keeps_the_mail(root: Path) -> None:
    body = message("Good day." * 300_000)
    queue_id = set_aside(root, body=body)
    assert run(root, "forward", queue_id, "eve@example.org") == 0
    (copy,) = Spool(root).entries("outgoing")
    with Spool(root).open("outgoing", copy.queue_id) as sent:
        assert sent.read() == body
        assert [it.address for it in sent.envelope.recipients] == ["eve@example.org"]
        assert sent.envelope.sender.startswith("postmaster@")
    assert quarantine.find(Spool(root), queue_id).there
    assert run(root, "forward", queue_id, "nobody") == 64


def test_delete_asks_and_leaves_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue_id = set_aside(root)
    monkeypatch.setattr("click.confirm", lambda _: False)
    assert run(root, "delete", queue_id) == 0
    assert quarantine.find(Spool(root), queue_id).there
    assert run(root, "delete", "--yes", queue_id) == 0
    assert names(Spool(root), "quarantine") == ["README.txt"]
    with pytest.raises(Gone):
        quarantine.find(Spool(root), queue_id)


def test_it_expires_by_age(root: Path) -> None:
    old, new = set_aside(root, "2020-01-01"), set_aside(root, "2099-01-01")
    text = runner.run("expiry", expiry.run, config.load(root), Spool(root))
    assert text.startswith("1 messages of the quarantine")
    assert [case.id for case in quarantine.cases(Spool(root))] == [new]
    assert old not in names(Spool(root), "quarantine")


def test_nothing_is_old_when_the_clock_has_leapt_but_at_the_next_run(root: Path) -> None:
    settings, spool = config.load(root), Spool(root)
    today = datetime.now(UTC)
    queue_id = set_aside(root, f"{today:%Y-%m-%d}")
    runner.run("expiry", expiry.run, settings, spool, today)
    leapt = today + timedelta(days=3650)
    said = runner.run("expiry", expiry.run, settings, spool, leapt)
    assert "the last run was 3650 days ago" in said
    assert [case.id for case in quarantine.cases(spool)] == [queue_id]
    runner.run("expiry", expiry.run, settings, spool, leapt + timedelta(days=1))
    assert quarantine.cases(spool) == []


def test_it_expires_by_size_the_oldest_first(root: Path) -> None:
    ids = [set_aside(root, f"2026-11-{day}") for day in (10, 11, 12)]
    size = quarantine.cases(Spool(root))[0].size
    assert size > 1000
    assert quarantine.expire(Spool(root), "2000-01-01", 2 * size) == (1, size)
    assert [case.id for case in quarantine.cases(Spool(root))] == ids[1:]


def test_what_is_left_of_a_released_message_expires_too(root: Path) -> None:
    queue_id = set_aside(root)
    assert run(root, "release", queue_id) == 0
    assert not quarantine.find(Spool(root), queue_id).there
    assert quarantine.expire(Spool(root), "2099-01-01", 0)[0] == 1
    assert names(Spool(root), "quarantine") == ["README.txt"]


def test_what_somebody_else_put_there_is_left_alone(root: Path) -> None:
    (root / "quarantine" / "2020-01-01").mkdir()
    notes = root / "quarantine" / "2020-01-01" / "notes.txt"
    notes.write_text("mine")
    (root / "quarantine" / "letters").mkdir()
    assert quarantine.expire(Spool(root), "2099-01-01", 1) == (0, 0)
    assert notes.read_text() == "mine"


def test_a_released_virus_arrives_byte_for_byte(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "spool", "maildir:maildir")
    with gateway:
        gateway.start()
        body = with_attachment("Game", "game.exe", PROGRAM)
        queue_id = gateway.send(body)
        gateway.wait_in("quarantine", queue_id)
        gateway.command("--spool", str(gateway.root), "quarantine", "release", queue_id)
        gateway.wait_until_done(gateway.send(letter("another")))
        until(lambda: not list((tmp_path / "spool/outgoing").glob("2*")), "outgoing/ empty")
        arrived = [path.read_bytes() for path in (tmp_path / "spool/maildir/new").iterdir()]
    (released,) = [mail for mail in arrived if mail.endswith(body.replace(b"\r\n", b"\n"))]
    assert b"X-Virus-Scanned" not in released
    assert sum(f"To: {ADMIN}".encode() in mail for mail in arrived) == 1
