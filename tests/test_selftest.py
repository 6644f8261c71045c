"""`spoolscan selftest`: it finds what is to be found, and says so when something is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from spoolscan.cli import disguises, selftest
from spoolscan.cli.selftest import Row
from spoolscan.cli.trial import Found, Outcome, trial
from spoolscan.config import FILE


def test_everything_is_found_in_its_innermost_part_and_nothing_is_left_behind(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "spoolscan", "selftest", "--json"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    rows = json.loads(done.stdout)
    assert [row["id"] for row in rows if not row["good"]] == []
    assert (done.returncode, done.stderr) == (0, "")
    found = [result for row in rows for result in row["depths"].values()]
    assert found.count("found") >= 3 * len(disguises.ENCODINGS) + 3 * 28
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_found_is_a_miss() -> None:
    row = Row("zip", {2: disguises.attached(disguises.nested((disguises.FORMATS[0],), 2))})
    with trial("blind") as place:
        (place.root / "etc" / "rules" / "eicar.yar").unlink()
        path = place.root / FILE
        path.write_text(path.read_text().replace("#canary = true", "canary = false", 1))
        with place.running():
            selftest._send(place, [row])
    assert row.results == {2: "MISSED"}
    assert not row.is_good


@pytest.mark.parametrize(
    ("outcome", "result"),
    [
        (Outcome("quarantine", (Found("infected: EICAR (says yara)", 2),)), "found"),
        (Outcome("quarantine", (Found("infected: EICAR (says yara)", 1, "1.dat"),)), "held"),
        (Outcome("quarantine", (Found("infected: EICAR (says yara)", 1, "e.dat"),)), "found"),
        (Outcome("quarantine", (Found("banned: line 3 (says matches.bad)", 2),)), "held"),
        (Outcome("hold", (Found("unscannable: unreadable: x (says reader)"),)), "held"),
        (Outcome("delivered"), "MISSED"),
        (Outcome("nowhere"), "MISSED"),
    ],
)
def test_found_is_what_is_found_where_it_lies(outcome: Outcome, result: str) -> None:
    assert selftest._result(outcome, 2) == result


@pytest.mark.parametrize(
    ("opened", "result", "good"),
    [(True, "found", True), (True, "held", False), (False, "held", True), (False, "MISSED", False)],
)
def test_only_what_nothing_here_opens_may_be_held(opened: bool, result: str, good: bool) -> None:
    assert Row("x", opened=opened, results={1: result}).is_good == good


def test_without_its_packer_a_format_is_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    rows = {row.title: row for row in selftest._formats()}
    assert rows["ARJ"].messages == {}
    assert rows["ARJ"].note == "no packer: arj"
    assert set(rows["zip"].messages) == {1, 2, 3}
    selftest._show(list(rows.values()))
    assert "not tried" in capsys.readouterr().out
