"""`spoolscan doctor`: what is in order says so, what is not fails with a remedy."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from spoolscan import doctor
from spoolscan.cli import main
from spoolscan.cli.init import lay_out
from spoolscan.config import FILE
from spoolscan.doctor import FAIL, OK, WARN, Row
from spoolscan.scanner.unpack import openers


@contextmanager
def server(greeting: bytes) -> Iterator[int]:
    """Says one thing to everybody."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while not ended.is_set():
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.sendall(greeting)
                    connection.recv(100)

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        try:
            yield port
        finally:
            ended.set()
            with socket.create_connection(("127.0.0.1", port)):
                pass
            thread.join()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return laid_out(tmp_path / "spool")


def laid_out(root: Path, **settings: str) -> Path:
    more = {"domains": ["example.com"], "listen": ["127.0.0.1:1"], "next_hop": "maildir:maildir"}
    lay_out(root, {**more, **settings})
    return root


def add(root: Path, text: str) -> None:
    path = root / FILE
    path.write_text(path.read_text() + text)


def rows(root: Path, name: str) -> list[Row]:
    return [row for row in doctor.examine(root) if row.id == name]


def state(root: Path, name: str) -> str:
    [row] = rows(root, name)
    assert bool(row.remedy) == (row.state != OK), row
    return row.state


@pytest.fixture(autouse=True)
def without_the_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first test asks the resolver; the others need not wait for it."""
    if request.node.name != "test_a_spool_in_order_does_not_fail":
        checks = tuple(check for check in doctor.CHECKS if check[0] != "resolver")
        monkeypatch.setattr(doctor, "CHECKS", checks)


def test_a_spool_in_order_does_not_fail(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--spool", str(root), "doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert all(set(row) == {"id", "state", "found", "remedy"} for row in found)
    states = {row["id"]: row["state"] for row in found}
    good = ("settings", "python", "spool", "patterns", "templates", "engine yara", "next hop")
    assert [states[name] for name in good] == [OK] * len(good)
    asked = {"disk space", "inodes", "file system", "formats", "helper box", "clock", "resolver"}
    assert asked < set(states)


def test_what_is_printed_fits_a_terminal(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--spool", str(root), "doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("ok    engine yara") for line in lines)


def test_each_mistake_in_the_settings_is_a_row_and_the_rest_is_looked_at_all_the_same(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(root, "[[engine]]\nkind = 7\n[wrong]\n")
    assert [row.state for row in rows(root, "settings")] == [FAIL, FAIL]
    assert state(root, "spool") == OK
    assert state(root, "next hop") == WARN
    assert main(["--spool", str(root), "doctor"]) == 1
    assert "fail  settings" in capsys.readouterr().out


def test_a_spool_open_to_others_fails(root: Path) -> None:
    (root / "incoming").chmod(0o755)
    [row] = rows(root, "spool")
    assert (row.state, "chmod 700" in row.found) == (FAIL, True)


def test_no_spool_at_all_is_told(tmp_path: Path) -> None:
    assert rows(tmp_path / "nowhere", "settings")[0].state == FAIL


@pytest.mark.parametrize(("backup", "expected"), [("false", FAIL), ("true", WARN)])
def test_an_engine_that_is_down_fails_and_a_backup_warns(
    root: Path, backup: str, expected: str
) -> None:
    add(root, f'[[engine]]\nkind = "clamd"\naddress = "{root}/nobody"\nbackup = {backup}\n')
    assert state(root, "engine clamd") == expected
    assert state(root, "engine yara") == OK


def test_an_engine_that_does_not_find_eicar_fails(root: Path) -> None:
    (root / "etc" / "rules" / "eicar.yar").unlink()
    [row] = rows(root, "engine yara")
    assert (row.state, "does not find EICAR" in row.found) == (FAIL, True)


def test_an_engine_that_is_not_proven_warns(root: Path) -> None:
    path = root / FILE
    path.write_text(path.read_text().replace("#canary = true", "canary = false", 1))
    assert state(root, "engine yara") == WARN


def test_a_bad_list_fails_and_says_where(root: Path) -> None:
    (root / "etc" / "ignore").write_text("two words\n")
    assert "etc/ignore:1" in rows(root, "lists")[0].found


@pytest.mark.parametrize(
    ("greeting", "expected"), [(b"220 hello\r\n", OK), (b"554 no\r\n", FAIL), (b"SSH-2\r\n", FAIL)]
)
def test_a_next_hop_is_asked_for_its_greeting(
    tmp_path: Path, greeting: bytes, expected: str
) -> None:
    with server(greeting) as port:
        root = laid_out(tmp_path / "spool", next_hop=f"smtp://127.0.0.1:{port}")
        assert state(root, "next hop") == expected


def test_a_next_hop_where_nobody_listens_fails(tmp_path: Path) -> None:
    root = laid_out(tmp_path / "spool", next_hop="smtp://127.0.0.1:1")
    assert state(root, "next hop") == FAIL
    root = laid_out(tmp_path / "other", next_hop=f"lmtp:{tmp_path}/socket")
    assert state(root, "next hop") == FAIL


def test_what_is_missing_is_told_with_the_formats_it_loses(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openers, "capabilities", lambda: [("disk images", None)])
    monkeypatch.setattr(
        openers.FORMATS["application/x-vhd-disk"].openers[0].__class__, "missing", lambda _: "7zz"
    )
    warnings = [row for row in rows(root, "formats") if row.state == WARN]
    assert [(row.found, row.remedy) for row in warnings] == [
        ("held as unreadable: disk images", "install 7zz")
    ]


def test_a_disk_without_room_for_one_message_fails(root: Path) -> None:
    path = root / FILE
    path.write_text(path.read_text().replace('#max_size = "50M"', 'max_size = "900000G"'))
    assert state(root, "disk space") == FAIL


def test_a_check_that_goes_wrong_is_a_row_and_the_others_go_on(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> Iterator[Row]:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(doctor, "CHECKS", (("odd", broken, False), *doctor.CHECKS))
    assert rows(root, "odd")[0].state == FAIL
    assert state(root, "spool") == OK
