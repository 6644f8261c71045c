"""An administrator installs spoolscan and lays out a spool."""

from __future__ import annotations

import importlib.util
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from gateway import Gateway

REPOSITORY = Path(__file__).parents[2]


def spoolscan(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "spoolscan", *arguments],
        env={**os.environ, **environment},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def spool(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path / "spool", "smtp://127.0.0.1:25")


def test_an_installed_package_lays_out_a_spool_that_passes_its_own_check(tmp_path: Path) -> None:
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("no hatchling here: install hatchling to build the package in this test")
    site = tmp_path / "site"
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--no-deps",
            "--no-build-isolation", "--target", str(site), str(REPOSITORY),
        ],
        check=True,
    )  # fmt: skip
    done = spoolscan("init", str(tmp_path / "spool"), PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr
    done = spoolscan("--spool", str(tmp_path / "spool"), "check", PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr


def test_init_says_what_it_did_and_what_to_do_next(spool: Gateway) -> None:
    assert spool.says.splitlines() == [
        f"{spool.root}: a spool for example.com",
        f"  mail comes in at   127.0.0.1:{spool.port}",
        "  mail goes out to   smtp://127.0.0.1:25",
        f"  settings           {spool.root}/etc/spoolscan.toml",
        f"  try it             spoolscan --spool {spool.root} check",
        f"  start it           spoolscan --spool {spool.root} run",
    ]


def test_nobody_else_can_look_into_the_spool(spool: Gateway) -> None:
    modes = {
        path.relative_to(spool.root).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in spool.root.rglob("*")
    }
    assert stat.S_IMODE(spool.root.stat().st_mode) == 0o700
    assert [name for name, mode in modes.items() if mode & 0o077] == []
    assert modes["bin/smtpd"] == modes["bin/scanmail"] == modes["bin/smtpfwdd"] == 0o700


def test_a_directory_with_anything_in_it_is_left_as_it_is(spool: Gateway) -> None:
    before = sorted(spool.root.rglob("*"))
    done = spool.command("init", str(spool.root), check=False)
    assert done.returncode == 78
    assert done.stderr == (
        f"spoolscan: {spool.root}: not empty; name a new directory, nothing is overwritten\n"
    )
    assert sorted(spool.root.rglob("*")) == before


def test_the_spool_is_found_by_option_or_by_environment(spool: Gateway) -> None:
    by_option = spoolscan("--spool", str(spool.root), "check")
    by_environment = spoolscan("check", SPOOLSCAN_SPOOL=str(spool.root))
    assert (by_option.returncode, by_environment.returncode) == (0, 0)
    assert by_option.stdout == by_environment.stdout
    assert by_option.stdout.startswith(f"settings   {spool.root}/etc/spoolscan.toml: ok\n")


def test_a_bad_key_is_one_clear_error_and_nothing_starts(spool: Gateway) -> None:
    spool.configure("receiver", max_sise='"50M"')
    for command in ("check", "run", "smtpd", "scanmail", "smtpfwdd"):
        done = spoolscan("--spool", str(spool.root), command)
        assert (done.returncode, done.stdout) == (78, "")
        assert done.stderr == (
            f"spoolscan: {spool.root}/etc/spoolscan.toml: receiver.max_sise: "
            "unknown setting; did you mean max_size?\n"
        )


def test_a_bad_pattern_is_named_by_file_and_line(spool: Gateway) -> None:
    path = spool.root / "etc" / "matches.bad"
    lines = path.read_text().count("\n")
    with path.open("a") as file:
        file.write("\n")
    done = spoolscan("--spool", str(spool.root), "check")
    assert done.returncode == 78
    assert f'matches.bad, line {lines + 1}, "": a blank line would match every mail' in done.stderr
