"""Over all commands: ``--json`` is one list of objects with an id, tables fit 80 columns and are
plain where nobody sees them."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import click
import pytest
from test_reference import ALL

from spoolscan import cli, config, log
from spoolscan.cli.terminal import table
from spoolscan.envelope import Envelope, Recipient, ScanMark
from spoolscan.journal import Journal
from spoolscan.spool import Spool

LONG = "a-sender-whose-name-is-longer-than-any-column-of-a-table-may-be"
LETTER = (
    b"From: <a@example.net>\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"
    b'Content-Disposition: attachment; filename="\x1b[2J' + b"long" * 50 + b'.exe"\r\n\r\nMZ\r\n'
)
# How each is called; ID is that of a message in quarantine/, FILE one of its own.
CALLS = {
    "spoolscan queue list": (),
    "spoolscan recipients list": (),
    "spoolscan recipients test": ("bob@example.com",),
    "spoolscan inspect": ("FILE", "/no/such/file"),
    "spoolscan rules test": ("--ip", "192.0.2.7", "--name", "x", "--to", "bob@example.com"),
    "spoolscan quarantine list": (),
    "spoolscan quarantine search": ("sender",),
    "spoolscan jobs list": (),
    "spoolscan sigupdate list": (),
    "spoolscan log": (),
    "spoolscan explain": ("ID",),
    "spoolscan status": (),
    "spoolscan doctor": (),
    "spoolscan selftest": (),
}
SLOW = {"spoolscan selftest"}  # it has tests of its own
STORIES = {"spoolscan explain"}  # lines, not tables
FINDING = re.compile(r"  (noted|unscannable|banned|infected): ")  # said as long as it is
MESSAGES = {
    "spoolscan queue list",
    "spoolscan quarantine list",
    "spoolscan log",
}  # keyed by queue id


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A spool with something for each command to tell; and the queue id of what is set aside."""
    root = tmp_path_factory.mktemp("output") / "spool"
    assert cli.main(["init", str(root), "--domain", "example.com"]) == 0
    (root / "etc" / "recipients").write_text(f"{LONG}@example.com\nbob@example.com\n")
    path = root / config.FILE
    text = path.read_text().replace('#check = "none"', 'check = "list"')
    source = (
        f'\n[[signatures.source]]\nname = "{LONG[:30]}"\nurl = "file:/x"\nsigned_by = "nobody"\n'
    )
    path.write_text(text + source)
    spool = Spool(root)
    queue_id = ""
    for state in ("incoming", "scanning", "hold"):
        to = tuple(Recipient(f"{LONG}@example.{name}") for name in ("com", "org"))
        draft = spool.draft(Envelope(f"{LONG}@example.net", to, scan=ScanMark("-", 0)))
        draft.write(LETTER)
        queue_id = draft.commit(state)
    with spool.open("scanning", spool.names("scanning")[0]) as message:
        queue_id = message.id
        message.quarantine("2026-11-20", "banned: it is a program\n")
    log.setup("test", "error")
    writing = Journal(root / "var" / "journal.db")
    log.listen(writing)
    log.event("test", queue_id, event="judged", sender=LONG, verdict="banned", name=LONG * 3)
    writing.close()
    (root / "letter.eml").write_bytes(LETTER)
    return root, queue_id


def said(place: tuple[Path, str], command: str, *more: str) -> str:
    root, queue_id = place
    words = [{"ID": queue_id, "FILE": f"{root}/letter.eml"}.get(it, it) for it in CALLS[command]]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "spoolscan", "--spool", str(root)),
            *(*command.split()[1:], *words, *more),
        ],
        capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    assert done.returncode in (0, 1, 2), done.stderr
    return done.stdout


def test_every_command_that_has_json_is_called_here() -> None:
    having = {
        path
        for path, command in ALL.items()
        if any(isinstance(it, click.Option) and "--json" in it.opts for it in command.params)
    }
    assert having == set(CALLS)


@pytest.mark.parametrize("command", sorted(set(CALLS) - SLOW))
def test_json_is_one_list_of_objects_with_an_id(place: tuple[Path, str], command: str) -> None:
    rows = json.loads(said(place, command, "--json"))
    assert isinstance(rows, list)
    assert rows
    assert all(isinstance(row["id"], str) for row in rows)
    if command in MESSAGES:
        assert {row["id"] for row in rows} <= {
            path.name for path in place[0].rglob("*") if path.is_file()
        }


@pytest.mark.parametrize("command", sorted(set(CALLS) - SLOW))
def test_without_a_terminal_it_is_plain_and_tables_fit_80_columns(
    place: tuple[Path, str], command: str
) -> None:
    lines = said(place, command).split("\n")
    assert "\x1b" not in "".join(lines)
    assert len(lines) > 1
    shown = [
        line
        for line in lines
        if command not in STORIES and line.startswith("  ") and not FINDING.match(line)
    ]
    assert max(map(len, shown), default=0) <= 80


def test_a_table_is_folded_and_loses_nothing() -> None:
    out = io.StringIO()
    with redirect_stdout(out):
        table(("a", "b", "c"), [("x" * 50, "y" * 60, "zz"), ("", "words " * 20, "")])
    lines = out.getvalue().split("\n")
    assert max(map(len, lines)) <= 80
    text = out.getvalue()
    assert (text.count("x"), text.count("y"), text.count("words")) == (50, 60, 20)
