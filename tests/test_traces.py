"""One pass tells which unpackers to ask: none that recognises the bytes may be left out."""

from __future__ import annotations

import random

import pytest
from containers import PLAIN, SPECIMENS
from hypothesis import given
from hypothesis import strategies as st

from spoolscan.scanner.traces import Traces
from spoolscan.scanner.unpack import ANYWHERE, TRACES
from spoolscan.scanner.unpack.seam import Anywhere

each = pytest.mark.parametrize("unpacker", ANYWHERE, ids=lambda unpacker: unpacker.name)


def is_asked(unpacker: Anywhere, data: bytes) -> bool:
    return ANYWHERE.index(unpacker) in TRACES.seen(data)


@each
@pytest.mark.parametrize("before", [b"", PLAIN, bytes(range(256)) * 300])
def test_what_it_recognises_has_its_trace_wherever_it_begins(
    unpacker: Anywhere, before: bytes
) -> None:
    data = before + SPECIMENS[unpacker.name]
    assert unpacker.recognises(data)
    assert is_asked(unpacker, data)


@each
def test_its_trace_stands_in_whatever_it_still_recognises_when_damaged(unpacker: Anywhere) -> None:
    dice = random.Random(20261121)  # noqa: S311  # not for secrets: the same damage every run
    specimens = list(SPECIMENS.values())
    recognised = 0
    for _ in range(2000):
        data = bytearray(dice.choice([SPECIMENS[unpacker.name], dice.choice(specimens)]))
        del data[: dice.choice((0, 0, 1, dice.randrange(len(data))))]
        for _ in range(dice.choice((0, 1, 3, 30))):
            data[dice.randrange(len(data))] = dice.choice((0, 1, 0x7F, 0xFF, dice.randrange(256)))
        if unpacker.recognises(bytes(data)):
            recognised += 1
            assert is_asked(unpacker, bytes(data))
    assert recognised > 100


def test_in_text_and_in_noise_nobody_is_asked() -> None:
    noise = random.Random(1).randbytes(100_000)  # noqa: S311  # the same noise every run
    assert not TRACES.seen(PLAIN * 100)
    assert not TRACES.seen(noise)
    assert not TRACES.seen(b"")


@given(st.lists(st.sampled_from([b"one", b"two\0", b"\xff\x80", b"t", b"\n", b"x" * 50])))
def test_each_trace_is_told_as_a_search_of_its_own_would(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    wanted = {place for place, word in enumerate((b"one", b"two\0", b"\xff")) if word in data}
    assert set(Traces([b"one", b"two\0", rb"\xff"]).seen(data)) == wanted


def test_a_content_full_of_traces_costs_one_pass_and_all_are_told() -> None:
    data = b"PK\3\4endobj begin =ybegin converted with BinHexMSCF\0\0\0\0" * 50_000
    assert sorted(TRACES.seen(data)) == [0, 1, 2, 3, 4, 5]
