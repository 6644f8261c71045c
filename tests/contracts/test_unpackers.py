"""What every unpacker promises: one suite, passed by each of the table."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from containers import PLAIN, SPECIMENS
from hypothesis import given
from hypothesis import strategies as st

from spoolscan.cli.specimens import NAME, PAYLOAD
from spoolscan.scanner.bounds import Bounds, Budget, LimitReached
from spoolscan.scanner.unpack import UNPACKERS, Member, Unpacker, library, unpack, zstd
from spoolscan.verdict import Doubt

each_unpacker = pytest.mark.parametrize("unpacker", UNPACKERS, ids=lambda unpacker: unpacker.name)
# Formats that have no place for a name.
NAMELESS = {
    *["bzip2", "xz", "lzma", "ActiveMime", "HTML"],
    *["zstd", "lzip", "LZ4", "compress", "SZDD", "RPM", "S/MIME"],
    *["Snappy", "pack", "zlib", "OneNote", "shortcut"],
}
# They may start programs, which is slow: they are tried less often.
BORROWED = {"borrowed", "buried"}


def needs(unpacker: Unpacker) -> None:
    """Skip where what the unpacker works with is not installed."""
    if unpacker.name == "zstd" and (wanted := zstd.missing()):
        pytest.skip(f"needs {wanted}")
    if unpacker.name in BORROWED and (wanted := library.missing()):
        pytest.skip(f"needs {wanted}")


def found_by(unpacker: Unpacker, data: bytes, bounds: Bounds = Bounds()) -> list[Member | Doubt]:
    return list(unpacker.members(data, Budget(bounds)))


@each_unpacker
def test_it_has_a_specimen_and_recognises_it_by_content_alone(unpacker: Unpacker) -> None:
    assert unpacker.recognises(SPECIMENS[unpacker.name])


@each_unpacker
def test_it_does_not_recognise_ordinary_text_nor_nothing(unpacker: Unpacker) -> None:
    assert not unpacker.recognises(PLAIN * 100)
    assert not unpacker.recognises(b"")


@each_unpacker
def test_it_gives_the_payload_whole_under_its_name(unpacker: Unpacker) -> None:
    needs(unpacker)
    found = found_by(unpacker, SPECIMENS[unpacker.name])
    assert Member("" if unpacker.name in NAMELESS else NAME, PAYLOAD) in found


@each_unpacker
def test_the_same_bytes_give_the_same_members(unpacker: Unpacker) -> None:
    data = SPECIMENS[unpacker.name]
    assert found_by(unpacker, data) == found_by(unpacker, data)


@each_unpacker
def test_cut_anywhere_it_gives_what_there_is_and_raises_nothing(unpacker: Unpacker) -> None:
    data = SPECIMENS[unpacker.name]
    times = 10 if unpacker.name in BORROWED else 200
    for size in range(0, len(data), 1 + len(data) // times):
        unpacker.recognises(data[:size])
        found_by(unpacker, data[:size])


@each_unpacker
def test_damaged_at_random_it_raises_nothing_but_limit_reached(unpacker: Unpacker) -> None:
    dice = random.Random(20261121)  # noqa: S311  # not for secrets: the same damage every run
    for _ in range(10 if unpacker.name in BORROWED else 300):
        data = bytearray(SPECIMENS[unpacker.name])
        for _ in range(dice.choice((1, 3, 30))):
            data[dice.randrange(len(data))] = dice.choice((0, 1, 0x7F, 0xFF, dice.randrange(256)))
        try:
            found_by(unpacker, bytes(data), Bounds(parts=50, decoded_bytes=1 << 20))
        except LimitReached:
            continue


@each_unpacker
@given(data=st.binary(max_size=300), offset=st.integers(0, 64))
def test_handed_anything_at_all_it_raises_nothing_but_limit_reached(
    unpacker: Unpacker, data: bytes, offset: int
) -> None:
    head = SPECIMENS[unpacker.name][: 0 if unpacker.name in BORROWED else offset]
    unpacker.recognises(head + data)
    found_by(unpacker, head + data)


@each_unpacker
def test_bounds_stop_it_while_it_unpacks(unpacker: Unpacker) -> None:
    needs(unpacker)
    with pytest.raises(LimitReached):
        found_by(unpacker, SPECIMENS[unpacker.name], Bounds(decoded_bytes=len(PAYLOAD) // 2))
    with pytest.raises(LimitReached):
        found_by(unpacker, SPECIMENS[unpacker.name], Bounds(parts=0))


@each_unpacker
def test_nothing_is_unpacked_before_it_is_asked_for(unpacker: Unpacker) -> None:
    budget = Budget(Bounds())
    unpacker.members(SPECIMENS[unpacker.name], budget)
    assert (budget.parts, budget.decoded) == (0, 0)


@each_unpacker
def test_nothing_is_ever_written(
    unpacker: Unpacker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    hostile = SPECIMENS[unpacker.name].replace(NAME.encode(), b"../evil.exe")
    found_by(unpacker, hostile)
    assert os.listdir(tmp_path) == ["inner"]
    assert os.listdir() == []


def test_a_file_that_is_two_things_is_opened_as_both() -> None:
    polyglot = SPECIMENS["gzip"] + SPECIMENS["zip"]
    members = [item for item in unpack(polyglot, Budget(Bounds())) if isinstance(item, Member)]
    assert [item.data for item in members].count(PAYLOAD) == 2
