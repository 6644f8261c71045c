"""Archives and streams that we read ourselves: lz4, compress, cpio, ar, disc images, Zstandard."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from containers import patched
from unpacking import THE_FILE, causes, found_in

from spoolscan.cli.specimens import NAME, PAYLOAD, ar, compressed, cpio, iso, lz4, tarred, zipped
from spoolscan.scanner.bounds import Bounds, LimitReached
from spoolscan.scanner.unpack import Member, zstd
from spoolscan.verdict import Cause

needs_zstd = pytest.mark.skipif(zstd.missing() is not None, reason="needs python zstandard")


def test_an_lz4_sequence_may_repeat_what_it_is_just_writing() -> None:
    assert found_in(lz4(b"\x24ab\2\0\x10!")) == [Member("", b"ab" + b"ab" * 4 + b"!")]


def test_an_lz4_block_that_points_before_its_beginning_is_broken() -> None:
    assert causes(lz4(b"\x14a\2\0\x10!")) == {Cause.UNREADABLE}


def test_a_code_of_compress_may_stand_for_the_string_it_is_just_making() -> None:
    assert found_in(compressed([97, 257, 258, 98])) == [Member("", b"aaaaaab")]


def test_a_code_of_compress_that_stands_for_nothing_is_broken() -> None:
    assert causes(compressed([97, 400])) == {Cause.UNREADABLE}


@pytest.mark.parametrize("bits", ["10", "12", "16"])
def test_what_compress_packs_is_unpacked(tmp_path: Path, bits: str) -> None:
    if shutil.which("compress") is None:
        pytest.skip("needs compress, of the package ncompress")
    text = b"".join(b"%d bottles of beer on the wall\n" % number for number in range(9000))
    run = subprocess.run(
        ["compress", f"-b{bits}", "-c"],
        input=text + os.urandom(9999),
        capture_output=True,
        check=True,
    )
    (member,) = found_in(run.stdout)
    assert isinstance(member, Member)
    assert member.data.startswith(text)


@pytest.mark.parametrize("form", ["newc", "crc", "odc", "bin"])
def test_what_cpio_packs_is_unpacked(tmp_path: Path, form: str) -> None:
    if shutil.which("cpio") is None:
        pytest.skip("needs cpio")
    (tmp_path / NAME).write_bytes(PAYLOAD)
    run = subprocess.run(
        ["cpio", "-o", "-H", form],
        input=NAME.encode(),
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert found_in(run.stdout) == [THE_FILE]


def test_a_cpio_archive_behind_another_one_is_read_on() -> None:
    assert found_in(cpio("one.txt", b"1") + cpio()) == [Member("one.txt", b"1"), THE_FILE]


def test_long_names_in_an_ar_are_found() -> None:
    table = ("/", b"a_rather_long_name.exe/\n")
    archive = ar(table, ("/0", PAYLOAD)).replace(b"//              ", b"//              ")
    archive = archive.replace(b"/0/ ", b"/0  ")
    assert found_in(archive) == [Member("a_rather_long_name.exe", PAYLOAD)]


def test_a_disc_image_whose_directory_contains_itself_ends() -> None:
    image = iso()
    circle = bytearray(image[18 * 2048 : 18 * 2048 + 34])
    circle[33:34] = b"X"
    at = image.index(NAME.encode()) - 33
    circular = image[: at + image[at]] + bytes(circle) + image[at + image[at] + 34 :]
    assert found_in(circular) == [THE_FILE]


def test_a_disc_image_cut_short_is_a_doubt() -> None:
    assert Cause.UNREADABLE in causes(iso()[:-2048])


@pytest.mark.parametrize("archive", [cpio(), ar(), iso()], ids=["cpio", "ar", "ISO 9660"])
def test_an_archive_cut_short_is_a_doubt(archive: bytes) -> None:
    assert Cause.UNREADABLE in causes(archive.rstrip(b"\0")[:-200])


@needs_zstd
def test_zstandard_in_a_zip_is_opened() -> None:
    frame = b"\x28\xb5\x2f\xfd\x60" + struct.pack("<H", len(PAYLOAD) - 256)
    frame += (len(PAYLOAD) << 3 | 1).to_bytes(3, "little") + PAYLOAD
    archive = zipped((NAME, frame), method=0)
    for signature, offset in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        archive = patched(archive, signature, offset, struct.pack("<H", 93))
        sizes = struct.pack("<LLL", zlib.crc32(PAYLOAD), len(frame), len(PAYLOAD))
        archive = patched(archive, signature, offset + 6, sizes)
    assert found_in(archive) == [THE_FILE]


# --- bombs


def zstd_bomb() -> bytes:
    block = (0x20000 << 3 | 2).to_bytes(3, "little") + b"\0"
    return b"\x28\xb5\x2f\xfd\0\x70" + block * 9999


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(zstd_bomb(), marks=needs_zstd, id="zstd"),
        pytest.param(lz4(*[b"\x1fa\1\0" + b"\xff" * 250 + b"\0\x10!"] * 9999), id="LZ4"),
        pytest.param(compressed([97, *range(257, 455)] * 99), id="compress"),
        pytest.param(iso(*[(f"{number}", PAYLOAD * 9) for number in range(9)]), id="ISO 9660"),
    ],
)
def test_a_bomb_ends_at_the_bounds(bomb: bytes) -> None:
    with pytest.raises(LimitReached):
        found_in(bomb, Bounds(decoded_bytes=1 << 16, seconds=5))


def test_a_tar_in_a_disc_image_in_a_cpio_is_no_archive_of_a_tool() -> None:
    assert found_in(cpio("a.iso", iso(("a.tar", tarred())))) == [
        Member("a.iso", iso(("a.tar", tarred())))
    ]
