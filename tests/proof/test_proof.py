"""Short forms of the proofs; the whole ones are commands of their own (`tox -e proof-full`)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from proof import enumerate as enumerated
from proof.inline import World, memory


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
