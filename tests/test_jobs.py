"""The timetable: what is due, what was missed, what failed; and that a double run is harmless."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from gateway import Gateway

from spoolscan import cli, config
from spoolscan.errors import TemporaryFailure
from spoolscan.jobs import runner, stamps
from spoolscan.jobs.contract import Context
from spoolscan.jobs.stamps import Stamp
from spoolscan.jobs.timetable import Timetable
from spoolscan.spool import Spool

NOON = datetime.fromtimestamp(1_763_726_400).astimezone().replace(hour=12, minute=0)


class Runs:
    """Stamps in memory, and when each job was run."""

    def __init__(self, **known: Stamp) -> None:
        self.stamps = known
        self.times: list[tuple[str, datetime]] = []
        self.failing = False

    def stamp_of(self, name: str) -> Stamp:
        return self.stamps.get(name, Stamp())

    def run(self, name: str) -> None:
        now = datetime.now().astimezone()
        self.times.append((name, now))
        before = self.stamp_of(name)
        at = now.timestamp()
        failures = before.failures + 1 if self.failing else 0
        self.stamps[name] = Stamp(at, before.done if self.failing else at, failures, before.told)

    def at(self) -> list[str]:
        return [f"{when:%d %H:%M}" for _, when in self.times]


def look(runs: Runs, times: dict[str, str], *, hours: float, first: datetime = NOON) -> None:
    """Look every minute."""
    with time_machine.travel(first, tick=False) as clock:
        table = Timetable(times, runs.stamp_of, runs.run, time.time)
        for _ in range(round(hours * 60)):
            table.run_due()
            clock.shift(timedelta(minutes=1))


def test_a_daily_job_runs_once_a_day_at_its_time() -> None:
    runs = Runs()
    look(runs, {"a": "23:59"}, hours=72)
    assert [text[3:] for text in runs.at()] == ["23:59"] * 3


def test_an_interval_begins_with_the_first_look() -> None:
    runs = Runs()
    look(runs, {"a": "1h"}, hours=3.5)
    assert [text[3:] for text in runs.at()] == ["12:00", "13:00", "14:00", "15:00"]


def test_a_restart_does_not_run_again_what_was_just_done() -> None:
    runs = Runs(a=Stamp(done=NOON.timestamp() - 600), b=Stamp(done=NOON.timestamp() - 600))
    look(runs, {"a": "1h", "b": "11:55"}, hours=0.5)
    assert [name for name, _ in runs.times] == ["b"]


def test_what_was_missed_while_nothing_ran_is_run_once() -> None:
    runs = Runs(a=Stamp(done=NOON.timestamp() - 5 * 86400))
    look(runs, {"a": "23:59"}, hours=1)
    assert runs.at() == [f"{NOON:%d %H:%M}"]


def test_a_job_that_never_ran_has_missed_no_time_of_day() -> None:
    runs = Runs()
    look(runs, {"a": "23:59"}, hours=1)
    assert runs.times == []


def test_a_job_without_a_time_never_runs() -> None:
    runs = Runs()
    look(runs, {"a": ""}, hours=48)
    assert runs.times == []


def test_a_failed_job_is_tried_again_ever_later_until_it_works() -> None:
    runs = Runs()
    runs.failing = True
    look(runs, {"a": "12:30"}, hours=2)
    assert [text[3:] for text in runs.at()] == [
        "12:30",
        "12:35",
        "12:45",
        "13:00",
        "13:20",
        "13:45",
    ]
    runs.failing = False
    look(runs, {"a": "12:30"}, hours=2, first=NOON + timedelta(hours=2))
    assert runs.at()[6:] == [f"{NOON:%d} 14:15"]


@pytest.mark.parametrize("years", [-10, 10])
def test_after_a_jump_of_the_clock_jobs_go_on_by_the_new_time(years: int) -> None:
    runs = Runs()
    counted = 0.0
    with time_machine.travel(NOON, tick=False) as clock:
        table = Timetable({"a": "23:59"}, runs.stamp_of, runs.run, lambda: counted)
        table.run_due()
        clock.move_to(NOON.replace(year=NOON.year + years))
        for _ in range(24 * 60):
            table.run_due()
            clock.shift(timedelta(minutes=1))
            counted += 60
    assert [(when.year, f"{when:%H:%M}") for _, when in runs.times] == [
        (NOON.year + years, "23:59")
    ]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    assert cli.main(["init", str(tmp_path / "spool"), "--domain", "example.com"]) == 0
    return tmp_path / "spool"


def _run(root: Path, work: object, now: float = 1e9) -> str:
    when = datetime.fromtimestamp(now, UTC)
    return runner.run("test", work, config.load(root), Spool(root), when)  # type: ignore[arg-type] # what a test gives


def test_a_success_leaves_a_stamp(root: Path) -> None:
    assert _run(root, lambda _: "all well") == "all well"
    assert stamps.read(Spool(root), "test", 1e9) == Stamp(tried=1e9, done=1e9)


def test_failures_are_counted_and_told_once_a_day(root: Path) -> None:
    def fails(_: Context) -> str:
        raise TemporaryFailure("the \x1b[2Jdisk is on fire")

    for number in range(4):
        with pytest.raises(TemporaryFailure):
            _run(root, fails, 1e9 + number * 30_000)
    spool = Spool(root)
    assert stamps.read(spool, "test", 2e9).failures == 4
    notices = spool.entries("outgoing")
    assert len(notices) == 2  # at once, and a day later
    with spool.open("outgoing", notices[0].queue_id) as notice:
        text = notice.read()
    assert b"disk is on fire" in text
    assert b"\x1b" not in text
    _run(root, lambda _: "")
    assert stamps.read(spool, "test", 2e9).failures == 0


def test_what_nobody_foresaw_is_a_failure_too(root: Path) -> None:
    def fails(_: Context) -> str:
        raise ZeroDivisionError("x")

    with pytest.raises(TemporaryFailure, match="unexpected ZeroDivisionError"):
        _run(root, fails)


def test_a_job_that_is_running_is_not_run_twice(root: Path) -> None:
    def again(_: Context) -> str:
        with pytest.raises(TemporaryFailure, match="another job-test is running"):
            _run(root, lambda _: "twice")
        return "once"

    assert _run(root, again) == "once"
    assert stamps.read(Spool(root), "test", 1e9).failures == 0


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"tried": "x"}', "\0" * 50])
def test_a_stamp_that_cannot_be_read_is_none(root: Path, text: str) -> None:
    (root / "var" / "test.job").write_text(text)
    assert stamps.read(Spool(root), "test", 1e9) == Stamp()


def test_a_stamp_of_the_future_counts_as_none(root: Path) -> None:
    stamps.write(Spool(root), "test", Stamp(tried=2e9, done=2e9, failures=1, told=5e8))
    assert stamps.read(Spool(root), "test", 1e9) == Stamp(failures=1, told=5e8)


def test_the_commands(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["jobs", "--spool", str(root), "run", "expiry"]) == 0
    assert "0 rows of the journal" in capsys.readouterr().out
    assert cli.main(["--spool", str(root), "jobs", "list", "--json"]) == 0
    (told,) = [it for it in json.loads(capsys.readouterr().out) if it["id"] == "expiry"]
    assert told["done"] > 0
    assert cli.main(["jobs", "list", "--spool", str(root)]) == 0
    assert "expiry" in capsys.readouterr().out
    assert cli.main(["jobs", "--spool", str(root), "run", "nonsense"]) == 64
    assert "expiry" in capsys.readouterr().err


def test_the_jobs_run_as_a_stage(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "spool", "maildir:maildir")
    gateway.configure("jobs", expiry='"10s"')
    with gateway:
        gateway.start()
        gateway.wait_for_log(r"spoolscan/jobs\[\d+\]: -: event=job name=expiry result=done")
