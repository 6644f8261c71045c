"""A file of the site's is put in force: all of it or nothing, and it lasts."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from disk_faults import watched_disk

from spoolscan.errors import TemporaryFailure
from spoolscan.spool import Spool
from spoolscan.users import Hashed, Users


def test_it_is_synced_named_and_its_name_synced_and_nobody_elses(tmp_path: Path) -> None:
    path = tmp_path / "rules.yar"
    path.write_bytes(b"old")
    path.chmod(0o644)
    with watched_disk() as watched:
        Spool.install(str(path), b"new")
    wanted = ["write", "fsync", "close", "rename_over", "fsync_directory"]
    assert [name for name in watched.names if name in wanted] == wanted
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == [path.name]


def test_one_that_another_process_writes_is_not_in_its_way(tmp_path: Path) -> None:
    (tmp_path / "rules.yar.1.new").write_bytes(b"half")
    Spool.install(str(tmp_path / "rules.yar"), b"mine")
    assert (tmp_path / "rules.yar.1.new").read_bytes() == b"half"


def test_a_password_is_on_the_disk_with_its_name_or_the_old_one_is(tmp_path: Path) -> None:
    users = Users(tmp_path / "users")
    users.change("alice", Hashed.of("old"))
    with watched_disk() as watched:
        users.change("alice", Hashed.of("new"))
    assert watched.names[-1] == "fsync_directory"
    with watched_disk() as watched:
        watched.failing = (3, OSError(errno.ENOSPC, "full"))
        with pytest.raises(TemporaryFailure, match="users"):
            users.change("alice", Hashed.of("newer"))
    assert users.verify("alice", "new")
    assert os.listdir(tmp_path) == ["users"]
