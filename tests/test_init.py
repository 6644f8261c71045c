"""``spoolscan init``: what it lays out lasts."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from spoolscan.cli import main


def test_all_that_was_laid_out_is_on_the_disk_before_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    synced: set[Path] = set()
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        assert capsys.readouterr().out == ""
        synced.add(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    root = tmp_path / "spool"
    assert main(["init", str(root)]) == 0
    assert synced == {tmp_path, root, *root.rglob("*")}


def test_a_disk_that_does_not_take_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "fsync", broken)
    assert main(["init", str(tmp_path / "spool")]) == 75
    told = capsys.readouterr()
    assert told.out == ""
    assert f"syncing {tmp_path}/spool" in told.err
