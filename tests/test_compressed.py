"""Single compressed files that we read ourselves, against their own packers where there are any."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import zlib

import pytest
from containers import kwaj, lzop, packed_by_pack, snappy
from unpacking import causes, found_in

from spoolscan.cli.specimens import NAME, PAYLOAD
from spoolscan.scanner.bounds import Bounds, LimitReached
from spoolscan.scanner.unpack import Member
from spoolscan.verdict import Cause

NOISE = random.Random(20261121).randbytes(9999)  # noqa: S311  # no secret
TEXT = b"".join(b"%d bottles of beer on the wall\n" % number for number in range(9000)) + NOISE


def piped(text: bytes, *argv: str) -> bytes:
    if shutil.which(argv[0]) is None:
        pytest.skip(f"needs {argv[0]}")
    return subprocess.run(argv, input=text, capture_output=True, check=True).stdout


# --- lzop


@pytest.mark.parametrize("how", ["-1", "-3", "-7", "-9", "--crc32", "-F"])
def test_what_lzop_packs_is_unpacked(how: str) -> None:
    assert found_in(piped(TEXT, "lzop", "-c", how)) == [Member("", TEXT)]


def test_two_files_of_lzop_are_one_behind_the_other() -> None:
    (member,) = found_in(lzop() + lzop(b"more"))
    assert member == Member(NAME, PAYLOAD + b"more")


def test_a_block_of_lzop_that_is_not_what_its_checksum_says_is_broken() -> None:
    assert causes(lzop().replace(b"the end", b"the End")) == {Cause.UNREADABLE}


def lzop_of(block: bytes, size: int) -> bytes:
    """A file of one packed block, without checksums."""
    whole = lzop(b"")
    flags = whole.index(b"\0\0\0\1", 9)
    head = whole[:flags] + bytes(4) + whole[flags + 4 : -16]
    return head + struct.pack(">LL", size, len(block)) + block + bytes(4)


def test_lzo_repeats_what_it_is_just_writing() -> None:
    packed = b"\x13ab" + b"\x20\x06" + b"\x04\0" + b"\x11\0\0"
    assert found_in(lzop_of(packed, 41)) == [Member(NAME, (b"ab" * 21)[:41])]


@pytest.mark.parametrize("block", [b"\x13ab\x80\x7f\x11\0\0", b"\x13ab", b"\x13ab\x20" + bytes(20)])
def test_lzo_that_points_before_its_beginning_or_ends_too_early_is_broken(block: bytes) -> None:
    assert causes(lzop_of(block, 30)) == {Cause.UNREADABLE}


# --- Snappy


def test_snappy_repeats_what_it_is_just_writing() -> None:
    assert found_in(snappy(b"\x0a\x04ab\x11\x02")) == [Member("", b"ab" * 5)]


@pytest.mark.parametrize(
    "chunk", [b"\x0a\x04ab\x11\x03", b"\x0b\x04ab\x11\x02", b"\xff\xff\xff\x7f"]
)
def test_snappy_that_contradicts_itself_is_broken(chunk: bytes) -> None:
    assert causes(snappy(chunk)) == {Cause.UNREADABLE}


# --- pack


def test_our_packed_file_is_one_to_gzip_too() -> None:
    assert piped(packed_by_pack(TEXT), "gzip", "-dc") == TEXT


def test_what_is_packed_is_unpacked() -> None:
    assert found_in(packed_by_pack(TEXT)) == [Member("", TEXT)]


def test_a_packed_file_that_is_not_as_long_as_it_says_is_broken() -> None:
    longer = packed_by_pack()[:2] + struct.pack(">L", 9999) + packed_by_pack()[6:]
    assert causes(longer) == {Cause.UNREADABLE}


# --- KWAJ


def test_a_kwaj_file_turned_about_is_turned_back() -> None:
    assert found_in(kwaj(bytes(byte ^ 0xFF for byte in PAYLOAD), 1)) == [Member(NAME, PAYLOAD)]


def test_kwaj_by_lzss() -> None:
    packed = b"".join(b"\xff" + PAYLOAD[at : at + 8] for at in range(0, len(PAYLOAD), 8))
    assert found_in(kwaj(packed, 2)) == [Member(NAME, PAYLOAD)]


def test_kwaj_by_huffman_codes() -> None:
    """All codes of one length; runs of 32 literals, then a repetition of three bytes."""
    bits = "0000" * 6
    for at in range(0, 64, 32):
        bits += "0000" + "11111" + "".join(f"{byte:08b}" for byte in PAYLOAD[at : at + 32])
    bits += "0001" + "000001" + "000000"  # a length of 1 + 2, from 64 bytes before
    bits += "0" * (-len(bits) % 8)
    packed = int(bits, 2).to_bytes(len(bits) // 8)
    assert found_in(kwaj(packed, 3)) == [Member(NAME, PAYLOAD[:64] + PAYLOAD[:3])]


def test_kwaj_by_mszip_repeats_what_earlier_blocks_gave() -> None:
    packed, history = b"", b""
    for at in range(0, len(TEXT), 1 << 15):
        piece = TEXT[at : at + (1 << 15)]
        coder = zlib.compressobj(wbits=-15, zdict=history)
        block = b"CK" + coder.compress(piece) + coder.flush()
        packed += struct.pack("<H", len(block)) + block
        history = piece
    assert found_in(kwaj(packed + b"\0\0", 4)) == [Member(NAME, TEXT)]


@pytest.mark.parametrize("method", [3, 4, 5])
def test_a_kwaj_file_that_is_none_is_broken(method: int) -> None:
    assert causes(kwaj(b"\xff" * 99, method)) == {Cause.UNREADABLE}


# --- bombs


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(lzop_of(b"\x13ab\x20" + bytes(99999) + b"\1", 1 << 25), id="lzop"),
        pytest.param(snappy(*[b"\xc2\xff\3\x04ab" + b"\xfe\2\0" * 1023] * 99), id="Snappy"),
        pytest.param(kwaj(b"\0" + b"\xf0\x0f" * 99999, 2), id="KWAJ by LZSS"),
        pytest.param(kwaj(bytes(3) + b"\xff" * 99999, 3), id="KWAJ by Huffman"),
        pytest.param(zlib.compress(bytes(1 << 22)), id="zlib"),
    ],
)
def test_a_bomb_ends_at_the_bounds(bomb: bytes) -> None:
    with pytest.raises(LimitReached):
        found_in(bomb, Bounds(decoded_bytes=1 << 16))
