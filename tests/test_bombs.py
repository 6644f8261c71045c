"""Every bomb ends, and none is called clean; tests/bench/bombs.py tells how soon."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import bombs
import pytest

from spoolscan.cli.specimens import PAYLOAD, zipped
from spoolscan.scanner import inspect as heart
from spoolscan.scanner import unpack as seam
from spoolscan.scanner.bounds import Budget
from spoolscan.scanner.inspect import Tools, inspect
from spoolscan.scanner.patterns import Patterns
from spoolscan.verdict import Report, Verdict

NONE = Patterns.parse(b"", "matches.bad")


def judged(data: bytes) -> Report:
    return inspect(bombs.mail("bomb", data), Tools(bad=NONE, doc=NONE, engines=())).report


@pytest.mark.parametrize("name", bombs.BOMBS)
def test_a_bomb_ends_and_is_flagged(name: str) -> None:
    if name.startswith("7z") and shutil.which("7zz") is None:
        pytest.skip("needs 7zz")
    report = judged(bombs.BOMBS[name]())
    assert report.verdict is Verdict.UNSCANNABLE
    assert len(report.parts) <= 2002


def test_what_holds_itself_is_flagged_and_not_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def quine(data: bytes, budget: Budget) -> Iterator[seam.Member]:
        asked.append(data)
        if data.startswith(b"PK"):
            yield seam.Member("again.zip", data)

    monkeypatch.setattr(heart, "unpack", quine)
    report = judged(zipped())
    assert asked.count(zipped()) == 1
    assert "it holds itself" in report.findings[-1].name
    assert report.verdict is Verdict.UNSCANNABLE


def test_the_same_content_is_looked_into_once_and_named_each_time() -> None:
    inner = zipped(("inner.txt", PAYLOAD))
    report = judged(zipped(("one.zip", inner), ("two.zip", inner)))
    names = [name for part in report.parts for name in part.names]
    assert sorted(name for name in names if name != "bomb") == ["inner.txt", "one.zip", "two.zip"]
