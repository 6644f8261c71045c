"""The forwarder killed at random moments: a little of tests/bench/kill_forwarder.py."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import kills


def test_nobody_is_lost_and_only_those_in_flight_get_it_twice(tmp_path: Path) -> None:
    tally = kills.run(tmp_path, 10, 1)
    assert tally.kills == 10
    assert tally.lost == 0
    assert tally.duplicates <= tally.in_flight


def test_a_loss_and_a_duplicate_too_many_are_seen() -> None:
    assert kills.Tally(everybody=2, delivered=Counter("a")).wrong
    assert kills.Tally(everybody=1, delivered=Counter("aa")).wrong
    assert not kills.Tally(everybody=1, in_flight=1, delivered=Counter("aa")).wrong
