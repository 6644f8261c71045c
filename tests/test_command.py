"""The command engine: any program, its exit status, and nothing else, decides."""

from __future__ import annotations

import os
import select
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clamd_server import EICAR

from spoolscan.errors import ConfigError, TemporaryFailure
from spoolscan.scanner.engines import CommandSettings, Engine, Sample, build
from spoolscan.verdict import Finding, Verdict

SAMPLE = Sample(("1",), b"some bytes")
Scanner = Callable[..., Engine]


@pytest.fixture
def scanner(tmp_path: Path) -> Scanner:
    """Makes an engine of a shell script, run with ``{file}`` unless told otherwise."""

    def make(script: str, *arguments: str, **settings: Any) -> Engine:
        program = tmp_path / "scanner"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        argv = (str(program), *(arguments or ("{file}",)))
        settings = {"scratch": tmp_path, **settings}
        [engine] = build([CommandSettings(argv=argv, name="script", **settings)])
        return engine

    return make


def test_a_scan_dies_with_the_worker_that_began_it(scanner: Scanner, tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    engine = scanner(f"echo $$ > {alive}; sleep 60")
    worker = os.fork()
    if worker == 0:
        try:
            engine.scan([SAMPLE])
        finally:
            os._exit(0)
    while not (alive.exists() and alive.read_text().strip()):
        time.sleep(0.01)
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
    scan = Path("/proc") / alive.read_text().strip() / "stat"
    while scan.exists() and scan.read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)


def names(findings: list[Finding]) -> list[tuple[tuple[str, ...], str]]:
    return [(finding.path, finding.name) for finding in findings]


@pytest.mark.parametrize("status", [0, 10])
def test_every_status_of_the_clean_row_is_clean(scanner: Scanner, status: int) -> None:
    assert scanner(f"exit {status}", clean=frozenset({0, 10})).scan([SAMPLE]) == []


@pytest.mark.parametrize("status", [1, 3])
def test_every_status_of_the_infected_row_is_infected(scanner: Scanner, status: int) -> None:
    engine = scanner(f"exit {status}", infected=frozenset({1, 3}))
    assert engine.scan([SAMPLE]) == [Finding(Verdict.INFECTED, ("1",), "infected", "script")]


@pytest.mark.parametrize("ending", ["exit 2", "exit 127", "exit 255", "kill -TERM $$"])
def test_every_other_end_is_a_temporary_failure(scanner: Scanner, ending: str) -> None:
    with pytest.raises(TemporaryFailure, match="neither clean nor infected"):
        scanner(ending).scan([SAMPLE])


def test_what_it_prints_is_told_escaped_when_it_fails(scanner: Scanner) -> None:
    with pytest.raises(TemporaryFailure) as raised:
        scanner(r"printf 'out of\n\033[2Jmemory'; exit 2").scan([SAMPLE])
    assert r"b'out of\n\x1b[2Jmemory'" in str(raised.value)


def test_words_decide_nothing(scanner: Scanner) -> None:
    assert scanner("echo a: Virus FOUND").scan([SAMPLE]) == []
    assert len(scanner("echo all clean; exit 1").scan([SAMPLE])) == 1


@pytest.mark.parametrize(
    ("printed", "pattern", "name"),
    [
        ("/x: Win.Test FOUND", r": (.+) FOUND$", "Win.Test"),
        ("hello\n/x: First FOUND\n/x: Second FOUND", r": (.+) FOUND$", "First"),
        (">>> Virus EICAR found in file x", r"Virus (\S+) found", "EICAR"),
        ("whole line", r"whole.*", "whole line"),
        ("/x: nothing to see", r": (.+) FOUND$", "infected"),
        ("/x: Win.Test FOUND", "", "infected"),
        ("/x:   FOUND", r": (.*) FOUND$", "infected"),
        ("/x: FOUND", r": (.+ )?FOUND$", "infected"),
        (r"/x: a\033[2Jb\t\377c FOUND", r": (.+) FOUND$", "a?[2Jb?\N{REPLACEMENT CHARACTER}c"),
        ("/x: " + "a" * 900 + " FOUND", r": (.+) FOUND$", "a" * 200),
    ],
)
def test_the_pattern_takes_the_name_from_the_output(
    scanner: Scanner, printed: str, pattern: str, name: str
) -> None:
    engine = scanner(f"printf '{printed}\\n'; exit 1", pattern=pattern)
    assert names(engine.scan([SAMPLE])) == [(("1",), name)]


def test_errors_and_output_are_read_alike(scanner: Scanner) -> None:
    engine = scanner("echo 'x: Win.Test FOUND' >&2; exit 1")
    assert names(engine.scan([SAMPLE])) == [(("1",), "Win.Test")]


def test_one_run_over_a_directory_tells_the_samples_by_our_names(scanner: Scanner) -> None:
    engine = scanner(
        'cd "$1"; for f in *; do grep -q bad $f && echo "$f: Is.$(cat $f) FOUND"; done; exit 1',
        "{dir}",
    )
    samples = [Sample((str(i),), b"bad%d" % i if i in (2, 11) else b"good") for i in range(12)]
    assert names(engine.scan(samples)) == [(("2",), "Is.bad2"), (("11",), "Is.bad11")]


def test_what_cannot_be_put_to_a_sample_is_of_the_whole_message(scanner: Scanner) -> None:
    engine = scanner("echo 'sample-999999: Win.Test FOUND'; exit 1", "{dir}")
    assert names(engine.scan([SAMPLE, SAMPLE])) == [((), "Win.Test")]


def test_one_directory_is_one_run_and_one_file_each_is_many(
    scanner: Scanner, tmp_path: Path
) -> None:
    log = tmp_path / "runs"
    scanner(f"echo run >> {log}", "{dir}").scan([SAMPLE] * 3)
    assert log.read_text().split() == ["run"]
    scanner(f"echo run >> {log}").scan([SAMPLE] * 3)
    assert log.read_text().split() == ["run"] * 4


def test_the_file_holds_the_sample_under_a_name_of_ours(scanner: Scanner, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    engine = scanner(f'echo "$1" > {seen}; cat "${{1#--in=}}" >> {seen}', "--in={file}")
    engine.scan([Sample(("$(reboot).exe",), b"\0bytes\xff")])
    line, data = seen.read_bytes().split(b"\n")
    assert line.endswith(b"/samples/sample-000001")
    assert data == b"\0bytes\xff"
    assert not Path(os.fsdecode(line.removeprefix(b"--in="))).exists()


def test_the_scratch_directory_is_private_and_gone_afterwards(
    scanner: Scanner, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    seen = tmp_path / "seen"
    engine = scanner(f'stat -c %a "$1/.." > {seen}; touch left-over', "{dir}", scratch=scratch)
    engine.scan([SAMPLE])
    assert seen.read_text() == "700\n"
    assert list(scratch.iterdir()) == []


def test_the_environment_is_minimal(
    scanner: Scanner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "x")
    seen = tmp_path / "seen"
    scanner(f"env > {seen}; cat >> {seen}").scan([SAMPLE])
    known = {line.partition("=")[0] for line in seen.read_text().splitlines()}
    assert known - {"PWD", "OLDPWD", "SHLVL", "_"} == {"PATH", "LC_ALL", "HOME", "TMPDIR"}


def test_a_run_that_takes_too_long_is_killed_with_all_its_children(
    scanner: Scanner, tmp_path: Path
) -> None:
    children = tmp_path / "children"
    script = f"sleep 3600 & echo $! > {children}; echo $$ >> {children}; wait"
    with pytest.raises(TemporaryFailure, match=r"killed after 0\.5 s"):
        scanner(script, timeout=0.5).scan([SAMPLE])
    assert all(gone(int(child)) for child in children.read_text().split())


def test_a_child_left_behind_is_killed_and_holds_nothing_up(
    scanner: Scanner, tmp_path: Path
) -> None:
    child = tmp_path / "child"
    engine = scanner(f"sleep 3600 & echo $! > {child}; exit 1", timeout=60)
    assert len(engine.scan([SAMPLE])) == 1
    assert gone(int(child.read_text()))


def gone(process: int) -> bool:
    """Whether it has ended; a kill takes its moment, so this waits, but not for an hour's sleep."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 30)[0])
    finally:
        os.close(handle)


def test_endless_output_is_not_kept_and_ends_with_the_time(scanner: Scanner) -> None:
    with pytest.raises(TemporaryFailure, match="killed"):
        scanner("yes", timeout=0.3).scan([SAMPLE])


def test_much_output_does_not_stop_it(scanner: Scanner) -> None:
    engine = scanner("echo 'x: Win.Test FOUND'; head -c 5000000 /dev/zero; exit 1")
    assert names(engine.scan([SAMPLE])) == [(("1",), "Win.Test")]


def test_a_full_or_missing_scratch_directory_is_a_temporary_failure(
    scanner: Scanner, tmp_path: Path
) -> None:
    with pytest.raises(TemporaryFailure, match="No such file or directory"):
        scanner("exit 0", scratch=tmp_path / "missing").scan([SAMPLE])


def test_awake_it_tells_the_version_where_it_knows_how(scanner: Scanner, tmp_path: Path) -> None:
    version = (str(tmp_path / "scanner"), "--version")
    assert scanner(r"printf 'Scan 1.0\nmore'", version=version).awake() == "Scan 1.0"
    with pytest.raises(TemporaryFailure, match="ended with status 3"):
        scanner("exit 3", version=version).awake()


def test_awake_it_tells_the_program_where_there_is_no_version(scanner: Scanner) -> None:
    assert scanner("exit 0").awake().endswith("/scanner")


def test_a_program_that_is_not_installed_is_a_configuration_error_when_asked_awake() -> None:
    [engine] = build([CommandSettings(argv=("no-such-scanner", "{file}"))])
    with pytest.raises(ConfigError, match="no program 'no-such-scanner'"):
        engine.awake()


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (CommandSettings.model_construct(argv=()), "argv"),
        (CommandSettings.model_construct(argv=("scanner",)), "argv"),
        (CommandSettings.model_construct(argv=("{file}",)), "argv"),
        (CommandSettings.model_construct(argv=("scanner", "{file}", "{dir}")), "argv"),
        (CommandSettings.model_construct(argv=("scanner", "{file}"), pattern="("), "pattern"),
        (CommandSettings.model_construct(argv=("scanner", "{file}"), pattern=r"(a)\1"), "pattern"),
        (CommandSettings.model_construct(argv=("scanner", "{file}"), clean=frozenset()), "clean"),
        (
            CommandSettings.model_construct(argv=("scanner", "{file}"), clean=frozenset({-9})),
            "clean",
        ),
        (
            CommandSettings.model_construct(argv=("scanner", "{file}"), infected=frozenset({256})),
            "infected",
        ),
        (
            CommandSettings.model_construct(argv=("scanner", "{file}"), infected=frozenset({0, 1})),
            "infected",
        ),
        (CommandSettings.model_construct(argv=("scanner", "{file}"), timeout=0), "timeout"),
        (
            CommandSettings.model_construct(argv=("scanner", "{file}"), timeout=float("inf")),
            "timeout",
        ),
    ],
)
def test_settings_that_can_never_work_are_told_at_once(settings: CommandSettings, key: str) -> None:
    with pytest.raises(ConfigError, match=f"^engine command: {key} = "):
        build([settings])


@pytest.mark.real
def test_a_real_clamscan_finds_eicar(tmp_path: Path) -> None:
    if not shutil.which("clamscan"):
        pytest.skip("no clamscan here: install clamav to run this test")
    (tmp_path / "local.ndb").write_text(f"Eicar-Test:0:*:{EICAR.hex()}\n")
    argv = ("clamscan", "--no-summary", f"--database={tmp_path}", "--recursive", "{dir}")
    [engine] = build(
        [CommandSettings(argv=argv, version=("clamscan", "--version"), scratch=tmp_path)]
    )
    findings = engine.scan([SAMPLE, Sample(("2",), EICAR)])
    assert names(findings) == [(("2",), "Eicar-Test.UNOFFICIAL")]
    assert engine.awake().startswith("ClamAV ")
