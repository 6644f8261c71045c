"""Who is asked, who stands in, how many at once, and what the site ignores."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from spoolscan import share
from spoolscan.config import ClamdSettings, CommandSettings, Config, YaraSettings
from spoolscan.errors import ConfigError, TemporaryFailure
from spoolscan.scanner.engines import Engine, Panel, Sample, build
from spoolscan.scanner.engines.limited import Limited
from spoolscan.scanner.ignored import Ignored
from spoolscan.scanner.toolbox import Toolbox
from spoolscan.verdict import Finding, Verdict

SAMPLES = [Sample(("a",), b"a")]


class Scripted:
    """Says what it is told to; None is being down."""

    def __init__(self, name: str, answer: str | None = "", verdict: Verdict = Verdict.INFECTED):
        self.name = name
        self.answer = answer
        self.verdict = verdict
        self.deadlines: list[float] = []

    def scan(self, samples: Sequence[Sample], deadline: float = math.inf) -> list[Finding]:
        self.deadlines.append(deadline)
        if self.answer is None:
            raise TemporaryFailure(f"engine {self.name}: down")
        if not self.answer:
            return []
        return [Finding(self.verdict, sample.path, self.answer, self.name) for sample in samples]

    def awake(self) -> str:
        return "awake"

    def close(self) -> None: ...


def hits(findings: Sequence[Finding]) -> list[str]:
    return [finding.name for finding in findings if finding.verdict > Verdict.CLEAN]


# ---- primaries and backups


def test_a_backup_is_not_asked_while_the_primaries_answer() -> None:
    backup = Scripted("backup", "Found")
    assert Panel([Scripted("one"), Scripted("two")], [backup]).ask(SAMPLES) == []
    assert backup.deadlines == []


def test_a_backup_stands_in_for_a_primary_that_is_down_and_the_report_says_so() -> None:
    [remark] = Panel([Scripted("one", None), Scripted("two")], [Scripted("b")]).ask(SAMPLES)
    assert remark == Finding(Verdict.CLEAN, (), "a backup stood in: engine one: down", "reader")


def test_what_a_backup_finds_counts() -> None:
    panel = Panel([Scripted("one", None)], [Scripted("b", "Virus")])
    assert hits(panel.ask(SAMPLES)) == ["Virus"]


def test_one_backup_that_answers_is_enough() -> None:
    panel = Panel([Scripted("one", None)], [Scripted("b", None), Scripted("c")])
    assert hits(panel.ask(SAMPLES)) == []


@pytest.mark.parametrize("backups", [[], [Scripted("b", None)]])
def test_mail_waits_where_neither_primary_nor_backup_answers(backups: list[Scripted]) -> None:
    with pytest.raises(TemporaryFailure, match="engine one: down"):
        Panel([Scripted("one", None), Scripted("two")], backups).ask(SAMPLES)


def test_a_hit_outweighs_one_that_is_down_and_no_backup_is_asked() -> None:
    backup = Scripted("b")
    panel = Panel([Scripted("one", None), Scripted("two", "Virus")], [backup])
    assert hits(panel.ask(SAMPLES)) == ["Virus"]
    assert backup.deadlines == []


def test_unscannable_is_no_hit_and_outweighs_nothing() -> None:
    large = Scripted("two", "larger than it takes", Verdict.UNSCANNABLE)
    with pytest.raises(TemporaryFailure, match="engine one: down"):
        Panel([Scripted("one", None), large]).ask(SAMPLES)


def test_an_engine_that_is_out_is_not_asked_and_never_clean() -> None:
    liar = Scripted("liar")
    with pytest.raises(TemporaryFailure, match="taken out"):
        Panel([liar], out=frozenset({"liar"})).ask(SAMPLES)
    assert liar.deadlines == []


def test_all_share_one_deadline() -> None:
    engines = [Scripted("one", None), Scripted("two"), Scripted("b")]
    before = time.monotonic()
    Panel(engines[:2], engines[2:], seconds=50).ask(SAMPLES)
    [deadline] = {deadline for engine in engines for deadline in engine.deadlines}
    assert before + 50 <= deadline <= time.monotonic() + 50


def test_nothing_to_scan_asks_nobody() -> None:
    assert Panel([Scripted("one", None)]).ask([]) == []


def test_settings_say_who_is_a_backup() -> None:
    settings = Config.model_validate(
        {
            "root": share.folder("etc").parent,
            "engine": [{"kind": "yara"}, {"kind": "clamd", "backup": True}],
            "scanner": {"engines_timeout": "20s"},
        }
    )
    tools = Toolbox(settings).tools(frozenset({"yara"}))
    assert [engine.name for engine in tools.engines] == ["yara"]
    assert [engine.name for engine in tools.backups] == ["clamd"]
    assert (tools.engine_seconds, tools.out) == (20, {"yara"})


def test_backups_alone_are_an_error() -> None:
    with pytest.raises(ConfigError, match="every engine is a backup"):
        build([ClamdSettings(backup=True)])


# ---- so many at once


def limited(
    place: Path, engine: Engine | None = None, slots: int = 1, timeout: float = 60
) -> Limited:
    return Limited(engine or Scripted("x/y"), slots, place, timeout)


class Waiting(Scripted):
    """Says that it has begun, and goes on when told to."""

    def __init__(self, line: Connection) -> None:
        super().__init__("x/y")
        self.line = line

    def scan(self, samples: Sequence[Sample], deadline: float = math.inf) -> list[Finding]:
        self.line.send("begun")
        self.line.recv()
        return []


def scan_slowly(place: Path, slots: int, line: Connection) -> None:
    limited(place, Waiting(line), slots).scan(SAMPLES)


def busy(place: Path, slots: int) -> tuple[multiprocessing.Process, Connection]:
    """Another process that holds a slot."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=scan_slowly, args=(place, slots, theirs)
    )
    process.start()
    assert ours.recv() == "begun"
    return process, ours  # type: ignore[return-value] # a SpawnProcess


def test_one_more_than_allowed_waits_and_gives_up_in_time(tmp_path: Path) -> None:
    process, line = busy(tmp_path, 1)
    with pytest.raises(TemporaryFailure, match="all 1 scans at once are taken"):
        limited(tmp_path, timeout=0.1).scan(SAMPLES)
    with pytest.raises(TemporaryFailure, match="all 1 scans at once are taken"):
        limited(tmp_path).scan(SAMPLES, time.monotonic())
    assert limited(tmp_path, slots=2).scan(SAMPLES) == []
    line.send("go on")
    assert limited(tmp_path).scan(SAMPLES) == []
    process.join()


def test_a_killed_worker_leaves_its_slot_to_the_next(tmp_path: Path) -> None:
    process, _ = busy(tmp_path, 1)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert limited(tmp_path).scan(SAMPLES) == []


def test_a_failure_frees_the_slot(tmp_path: Path) -> None:
    engine = limited(tmp_path, Scripted("x/y", None))
    for _ in range(2):
        with pytest.raises(TemporaryFailure, match="down"):
            engine.scan(SAMPLES)


def test_settings_say_how_many(tmp_path: Path) -> None:
    settings = CommandSettings(argv=("/bin/true", "{file}"), concurrency=3, scratch=tmp_path)
    [engine] = build([settings])
    assert engine.scan(SAMPLES) == []
    [lock] = tmp_path.iterdir()
    assert lock.name.startswith("engine-command-")
    assert lock.stat().st_mode & 0o777 == 0o600


# ---- what is ignored


TODAY = date(2026, 11, 21)


def ignored(text: str) -> Ignored:
    return Ignored.parse(text.encode(), "ignore")


@pytest.mark.parametrize(
    ("line", "is_ignored"),
    [
        ("Win.Test-1", True),
        ("Win.*", True),
        ("*Test*", True),
        ("Win.Test-[12]", True),
        ("win.test-1", False),
        ("Win.Test", False),
        ("# Win.Test-1", False),
        ("Win.Test-1 until=2026-11-21", True),
        ("Win.Test-1 until=2026-11-20", False),
    ],
)
def test_a_signature_is_ignored_by_its_whole_name_until_its_day(
    line: str, is_ignored: bool
) -> None:
    finding = Finding(Verdict.INFECTED, ("a",), "Win.Test-1", "clamd")
    remark = Finding(Verdict.CLEAN, ("a",), "ignored: Win.Test-1", "clamd")
    assert ignored(line).on(TODAY).judge(finding) == (remark if is_ignored else finding)


def test_what_could_not_be_read_is_not_ignored() -> None:
    doubt = Finding(Verdict.UNSCANNABLE, (), "Heuristics.Encrypted.Zip", "clamd")
    assert ignored("Heuristics.*").judge(doubt) == doubt


@pytest.mark.parametrize("line", ["A B", "A until=tomorrow", "A until=2026-13-01", "A until="])
def test_a_mistake_is_told_with_file_and_line(line: str) -> None:
    with pytest.raises(ConfigError, match=r"ignore:2: .*allowed: NAME"):
        ignored(f"# first\n{line}\n")


@pytest.mark.parametrize("line", ["*", "?*", "W*", "[A-Z]*.[a-z]*", "*-[0-9]"])
def test_nobody_ignores_every_signature_by_mistake(line: str) -> None:
    with pytest.raises(ConfigError, match=r"ignore:1: .*every virus"):
        ignored(line)


def test_an_ignored_hit_does_not_outweigh_an_engine_that_is_down() -> None:
    panel = Panel([Scripted("one", "Virus"), Scripted("two", None)], ignored=ignored("Virus"))
    with pytest.raises(TemporaryFailure, match="engine two: down"):
        panel.ask(SAMPLES)


def test_the_list_is_read_again_and_what_is_over_is_told_once(tmp_path: Path) -> None:
    etc = tmp_path / "etc"
    etc.mkdir()
    for name in ("matches.bad", "matches.doc"):
        (etc / name).write_text("")
    rules = share.folder("etc") / "rules"
    told: list[str] = []
    engine = YaraSettings(rules=rules)
    toolbox = Toolbox(Config(root=tmp_path, engine=(engine,)), told.append)
    assert toolbox.tools().ignored == Ignored()
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    (etc / "ignore").write_text(f"Old until={yesterday}\nNew\n")
    for _ in range(3):
        assert [entry.pattern for entry in toolbox.tools().ignored.entries] == ["New"]
    assert [text.partition(": ")[2] for text in told] == [
        f"Old was ignored until {yesterday}, and counts again"
    ]
    (etc / "ignore").write_text("two words\n")
    assert [entry.pattern for entry in toolbox.tools().ignored.entries] == ["New"]
    assert "allowed: NAME" in told[-1]
