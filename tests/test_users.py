"""The file of users, and `spoolscan passwd`, which keeps it."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from gateway import Gateway

from spoolscan.errors import ConfigError
from spoolscan.users import Hashed, Users


def test_the_file_of_users_keeps_its_lines_and_no_password(tmp_path: Path) -> None:
    users = Users(tmp_path / "users")
    assert users.read() == {}
    assert not users.verify("alice", "secret")
    assert not users.change("alice", Hashed.of("secret"))
    users.path.write_text("# ours\n" + users.path.read_text())
    assert not users.change("bøb", Hashed.of("þorn"))
    assert users.change("alice", Hashed.of("other"))
    text = users.path.read_text()
    assert text.startswith("# ours\n")
    assert "other" not in text
    assert "secret" not in text
    assert stat.S_IMODE(users.path.stat().st_mode) == 0o600
    assert [users.verify(*pair) for pair in (("alice", "other"), ("alice", "secret"))] == [1, 0]
    assert users.verify("bøb", "þorn")
    assert users.change("alice", None)
    assert not users.change("alice", None)
    assert not users.verify("alice", "other")


@pytest.mark.parametrize(
    "line",
    [
        "alice",
        "alice:scrypt:16384:8:1:AAAA:",
        "alice:scrypt:16384:8:1:A:AAAA",
        "alice:md5:1:1:1:AAAA:AAAA",
        "a b:scrypt:16384:8:1:AAAA:AAAA",
    ],
)
def test_a_line_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    users = Users(tmp_path / "users")
    users.path.write_text(f"# first\n{line}\n")
    with pytest.raises(ConfigError, match="line 2"):
        users.read()


@pytest.mark.parametrize("cost", ["99999999:8:1", "3:8:1", "0:0:0"])
def test_a_cost_that_is_none_is_no_wrong_password(tmp_path: Path, cost: str) -> None:
    users = Users(tmp_path / "users")
    users.path.write_text(f"alice:scrypt:{cost}:AAAA:AAAA\n")
    with pytest.raises(ConfigError, match="cost"):
        users.verify("alice", "x")


def test_passwd_adds_changes_and_deletes(gateway: Gateway) -> None:
    def passwd(*arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "spoolscan", "--spool", str(gateway.root), "passwd"]
        return subprocess.run(
            [*command, *arguments], input=said, text=True, capture_output=True, check=False
        )

    users = Users(gateway.root / "etc" / "users")
    assert "alice: added" in passwd("alice", said="secret\n").stdout
    assert users.verify("alice", "secret")
    assert "alice: changed" in passwd("alice", said="other\n").stdout
    assert users.verify("alice", "other")
    assert passwd("bob", said="\n").returncode == 64
    assert passwd("a b", said="x\n").returncode == 64
    assert "alice: taken out" in passwd("alice", "--delete").stdout
    assert users.read() == {}
    assert passwd("alice", "--delete").returncode == 64
