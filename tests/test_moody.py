"""A next hop in every mood: a little of tests/bench/moody.py."""

from __future__ import annotations

from pathlib import Path

import moody
import pytest


@pytest.mark.parametrize("chunking", [False, True], ids=["data", "bdat"])
def test_everybody_is_delivered_to_once_or_reported(tmp_path: Path, chunking: bool) -> None:
    account = moody.run(tmp_path, 100, 1, chunking=chunking)
    assert account.wrong == set()
    assert account.bad.total() > 20
    assert len(account.delivered) > 100


def test_a_lost_a_doubled_and_a_contradicted_recipient_are_seen() -> None:
    account = moody.Account({"a", "b", "c", "d"})
    account.delivered.update("abb")
    account.reported.update("ad")
    assert (account.lost, account.doubled, account.contradicted) == ({"c"}, {"b"}, {"a"})
    assert account.wrong == {"a", "b", "c"}
