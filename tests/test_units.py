"""The units for systemd: known words only, and sandboxed as far as their stage can be."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from spoolscan import share

FOLDER = share.folder("etc") / "systemd"
UNITS = sorted(path.name for path in FOLDER.iterdir())
# Exposure as systemd counts it, of 100: what judges mail makes boxes of namespaces, and compiles.
MOST = {"spoolscan.service": 33, "spoolscan-scanmail.service": 31}

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The units beside each other, as systemd wants them."""
    for name in UNITS:
        shutil.copy(FOLDER / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".service")])
def test_a_unit_is_as_little_exposed_as_its_stage_allows(folder: Path, name: str) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST.get(name, 20)}",
         "--no-pager", str(folder / name)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-400:] + done.stderr


@pytest.mark.parametrize("name", UNITS)
def test_systemd_knows_every_word_of_a_unit(folder: Path, name: str) -> None:
    shown = name.replace("@.", "@expiry.")
    (folder / name).rename(folder / shown)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(folder / shown)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = [line for line in done.stderr.splitlines() if name.partition("@")[0] in line]
    assert [line for line in told if "is not executable" not in line] == []


def test_every_timer_runs_a_job_that_exists() -> None:
    from spoolscan.jobs.table import JOBS  # noqa: PLC0415 - only this test needs all jobs

    timers = [name for name in UNITS if name.endswith(".timer")]
    assert timers
    for name in timers:
        found = re.search(r"(?m)^Unit=spoolscan-job@(\w+)\.service$", (FOLDER / name).read_text())
        assert found
        assert found[1] in JOBS
