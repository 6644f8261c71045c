"""Short forms of the proofs; the whole ones are commands of their own (`tox -e proof-full`)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from proof import enumerate as enumerated
from proof import faults, mutants, tampering
from proof.inline import World, memory
from proof.mail import KINDS, make


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Cleared by each proof that takes it."""
    with tempfile.TemporaryDirectory(prefix="spoolscan-proof-", dir=memory()) as folder:
        world = World(Path(folder) / "spool")
        with world.living():
            yield world


@pytest.mark.parametrize("life", enumerated.LIVES)
def test_whatever_a_power_cut_leaves_nothing_is_lost_torn_or_passed(
    world: World, life: str
) -> None:
    tally = enumerated.prove(world, enumerated.letters_of(life), most=8, chance=Random(1))  # noqa: S311
    assert not tally.account.broken, tally.account.details()
    assert tally.states > 50


def test_no_row_of_the_mutants_is_stale() -> None:
    mutants.check()


def test_a_short_write_is_gone_on_with(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kernel makes one when the disk is nearly full, or a signal comes."""
    world.clear()
    whole = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: whole(descriptor, data[:100]))
    letter = make("clean", 1)
    queue_id = world.receive(letter)
    monkeypatch.undo()
    with world.spool.open("incoming", queue_id) as message:
        assert message.read().endswith(letter.data)


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_call_fails_nothing_promised_is_lost(world: World, kind: str) -> None:
    tally = faults.prove(world, make(kind, 1), errors=("ENOSPC", "EIO"), first=2)
    assert not tally.account.broken, tally.account.details()
    assert tally.points > 100


@pytest.mark.parametrize("row", tampering.ROWS, ids=lambda row: row.what)
def test_whatever_is_done_to_the_files_or_the_clock_mail_goes_on(
    world: World, row: tampering.Row
) -> None:
    found = tampering.prove(world, row)
    assert not found.broken, found.details()
