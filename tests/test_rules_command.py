"""spoolscan rules: what it makes of one recipient, and what it finds in the files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from name_server import NameServer

from spoolscan.cli import main
from spoolscan.cli.init import lay_out


@pytest.fixture
def server() -> Iterator[NameServer]:
    records = {"7.100.51.198.bl.example A": ["127.0.0.3"], "silent.example": None}
    with NameServer(records) as found:
        yield found


@pytest.fixture
def root(tmp_path: Path, server: NameServer) -> Path:
    root = tmp_path / "spool"
    site = {"domains": ["site.example"], "networks": ["192.0.2.0/24"]}
    lay_out(root, {**site, "listen": ["127.0.0.1:0"], "next_hop": "maildir:maildir"})
    with (root / "etc/spoolscan.toml").open("a") as file:
        file.write('\n[[dnsbl.zone]]\nname = "bl.example"\nweight = 4\n')
    path = root / "etc/spoolscan.toml"
    text = path.read_text().replace("#servers = []", f'servers = ["{server.place}"]')
    path.write_text(text.replace('#timeout = "3s"', 'timeout = "1s"'))
    return root


def run(root: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = main(["--spool", str(root), "rules", *arguments])
    return status, capsys.readouterr().out


def tried(root: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    peer = ("test", "--ip", "198.51.100.7", "--name", "Mail.B.example", "--json")
    status, out = run(root, capsys, *peer, *arguments)
    (found,) = json.loads(out)
    return status, found


def test_an_accepted_recipient_with_all_that_was_looked_up(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, found = tried(root, capsys, "--from", "a@b.example", "--to", "bob@site.example")
    assert status == 0
    assert found == {
        "id": "bob@site.example",
        "accepted": True,
        "discarded": False,
        "reply": "250 2.1.5 recipient ok",
        "hangs_up": False,
        "delay": 0.0,
        "why": "rules:38 dnsbl:4",
        "line": "allow:ALL:ALL:OURS",
        "name": "mail.b.example",
        "ours": False,
        "facts": [{"fact": "listed 198.51.100.7 in bl.example", "answer": ["127.0.0.3"]}],
    }


def test_a_refused_one_in_words(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = root / "etc/smtpd_check_rules"
    rules.write_text("deny_delay:RBL.bl.example RBL.silent.example:ALL:ALL:550 %I, no\n")
    arguments = ("--ip", "198.51.100.7", "--name", "x", "--from", "<>", "--to", "<b@site.example>")
    status, out = run(root, capsys, "test", *arguments)
    assert status == 1
    assert out.splitlines() == [
        "refused: 550 5.7.1 198.51.100.7, no",
        "  peer       198.51.100.7 (x), from outside",
        "  decided    rules:1  deny_delay:RBL.bl.example RBL.silent.example:ALL:ALL:550 %I, no",
        "  then       the answer after 20 s, and we hang up",
        "  looked up  listed 198.51.100.7 in bl.example: 127.0.0.3",
    ]


def test_one_whom_nobody_can_tell_of(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "etc/smtpd_check_rules").write_text("allow:RBL.silent.example:ALL:OURS\n")
    status, found = tried(root, capsys, "--to", "bob@site.example")
    assert (status, found["reply"][:10], found["why"]) == (1, "451 4.4.3 ", "rules:1?")
    assert found["line"] == "allow:RBL.silent.example:ALL:OURS"
    assert found["facts"][0]["answer"] is None


def test_users_networks_and_the_access_map(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    away = ("--to", "eve@elsewhere.example")
    assert tried(root, capsys, *away)[0] == 1
    assert tried(root, capsys, *away, "--user", "alice")[0] == 0
    assert tried(root, capsys, *away, "--ip", "192.0.2.1")[0] == 0
    (root / "etc/access").write_text("# one\nTo:eve@ DISCARD\n")
    status, found = tried(root, capsys, *away)
    assert (status, found["discarded"], found["accepted"]) == (0, True, False)
    assert found["line"] == "To:eve@ DISCARD"
    assert tried(root, capsys, "--to", "a%b@site.example")[1]["why"] == "asks to relay"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--ip", "nonsense", "--to", "a@b.example"),
        ("--ip", "192.0.2.1", "--to", "a b"),
        ("--ip", "192.0.2.1", "--to", "a@b.example", "--from", "x"),
        ("--ip", "192.0.2.1"),
    ],
)
def test_a_wrong_command_line_says_so(root: Path, arguments: tuple[str, ...]) -> None:
    assert main(["--spool", str(root), "rules", "test", *arguments]) == 64


def test_check_counts_what_is_there(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "etc/access").write_text("a@ OK\nb@ OK\n")
    status, out = run(root, capsys, "check")
    assert status == 0
    assert out.splitlines() == [
        f"rules      {root}/etc/smtpd_check_rules: 2 rules",
        f"access     {root}/etc/access: 2 lines",
        "dnsbl      1 lists",
    ]


@pytest.mark.parametrize(
    ("rules", "access", "why"),
    [
        ("allow:ALL:ALL:ALL\n", "", "rules:1"),
        ("deny:UNKNOWN@[::1]:ALL:ALL\nallow:UNTRUSTED:*@*:*@*\n", "", "rules:2"),
        ("", "Connect:198 RELAY\n", "access:1"),
    ],
)
def test_an_open_relay_is_told_of(
    root: Path, capsys: pytest.CaptureFixture[str], rules: str, access: str, why: str
) -> None:
    (root / "etc/smtpd_check_rules").write_text(rules)
    (root / "etc/access").write_text(access)
    status, out = run(root, capsys, "check")
    assert status == 1
    assert f"anybody may send to anywhere: an open relay, by {why}" in out


def test_a_file_that_cannot_be_used_starts_nothing(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "etc/smtpd_check_rules").write_text("allow:ALL:ALL\n")
    for command in (["rules", "check"], ["check"], ["smtpd"]):
        assert main(["--spool", str(root), *command]) == 78
        assert "smtpd_check_rules, line 1: a rule is action:SRC:FROM:TO" in capsys.readouterr().err
