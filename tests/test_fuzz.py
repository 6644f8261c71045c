"""Any bytes are read without an exception or a hang: a little of tests/bench/fuzz.py."""

from __future__ import annotations

from pathlib import Path

import mutation
import pytest


@pytest.mark.parametrize("seed", range(4))
def test_mutated_inputs_neither_crash_nor_hang(seed: int) -> None:
    tally = mutation.rounds(1500, seed)
    assert tally.inputs == 1500
    assert tally.kept > 50
    assert not [crash.story for crash in tally.crashes.values()]


@pytest.mark.parametrize("path", sorted(mutation.CRASHERS.iterdir()), ids=lambda path: path.name)
def test_what_crashed_once_never_does_again(path: Path) -> None:
    result = mutation.replayed(path.name.partition("-")[0], path.read_bytes())
    assert not isinstance(result, mutation.Crash), result.story


def test_a_crash_and_a_hang_are_seen() -> None:
    def hang(_data: bytes) -> object:
        while True:
            pass

    def crash(data: bytes) -> object:
        return data.index(b"x")

    for run, place in ((hang, "hang"), (crash, "ValueError in test_fuzz.py")):
        target = mutation.Target("t", run, (b"",), 1)
        with mutation.alarm() as alarm:
            result = mutation.tried(target, b"", alarm)
        assert isinstance(result, mutation.Crash)
        assert result.place.startswith(place)
