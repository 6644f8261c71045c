"""Archives that borrowed tools open."""

from __future__ import annotations

import base64
import hashlib
import os
import random
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from containers import partitioned, patched, vhd, xar
from unpacking import THE_FILE, causes, found_in

from spoolscan.cli.specimens import NAME, PAYLOAD, cabinet, compound, lzh, rar, seven_zip, zipped
from spoolscan.scanner import content
from spoolscan.scanner.bounds import Bounds, Budget, LimitReached
from spoolscan.scanner.inspect import Tools, inspect
from spoolscan.scanner.patterns import Patterns
from spoolscan.scanner.unpack import Member, capabilities, library, program
from spoolscan.scanner.unpack.listed import SEVEN_ZIP, UNAR
from spoolscan.scanner.unpack.meter import Meter
from spoolscan.verdict import Cause, Doubt, Verdict

needs_library = pytest.mark.skipif(library.missing() is not None, reason="needs libarchive.so.13")
needs_7zip = pytest.mark.skipif(SEVEN_ZIP.missing() is not None, reason="needs 7zz and bubblewrap")

STORED: dict[str, Callable[[], bytes]] = {
    "RAR": rar,
    "7z": seven_zip,
    "cabinet": cabinet,
    "LZH": lzh,
}
each_archive = pytest.mark.parametrize("archive", STORED.values(), ids=STORED)


def packed(folder: Path, packer: str, *argv: str) -> bytes:
    """What a real packer makes of the payload; "ARCHIVE" stands for the file it is to write."""
    if shutil.which(packer) is None:
        pytest.skip(f"needs {packer}")
    (folder / NAME).write_bytes(PAYLOAD)
    archive = folder / "packed"
    words = [word.replace("ARCHIVE", str(archive)) for word in argv]
    subprocess.run([packer, *words], cwd=folder, capture_output=True, check=True)
    (made,) = folder.glob("packed*")  # some put an ending to the name
    return made.read_bytes()


# --- what libarchive opens


@needs_library
@each_archive
def test_an_archive_is_opened(archive: Callable[[], bytes]) -> None:
    assert found_in(archive()) == [THE_FILE]


@needs_library
@each_archive
def test_an_archive_behind_a_program_is_opened(archive: Callable[[], bytes]) -> None:
    assert THE_FILE in found_in(b"MZ" + bytes(range(256)) * 9 + archive())


@needs_library
def test_an_archive_behind_another_one_is_opened() -> None:
    assert found_in(cabinet("one.txt", b"1") + seven_zip()) == [Member("one.txt", b"1"), THE_FILE]


@needs_library
def test_an_archive_that_claims_to_reach_over_the_next_one_hides_nothing() -> None:
    cover = cabinet("one.txt", b"1")
    lying = patched(cover, b"MSCF", 8, struct.pack("<L", len(cover + seven_zip())))
    assert THE_FILE in found_in(lying + seven_zip())


@needs_library
@each_archive
def test_a_hostile_name_is_a_word_and_no_path(
    archive: Callable[[str], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [item.name for item in found_in(archive("../evil.exe")) if isinstance(item, Member)]
    assert [name.rpartition("/")[2] for name in names] == ["evil.exe"]
    assert os.listdir() == []


@needs_library
@pytest.mark.parametrize("archive", [rar(flags=1), cabinet(flags=2)], ids=["RAR", "cabinet"])
def test_one_volume_of_several_is_never_whole(archive: bytes) -> None:
    assert Cause.UNREADABLE in causes(archive)


@needs_7zip
@pytest.mark.parametrize("volume", ["packed.arj", "packed.a01", "packed.a02"])
def test_one_volume_of_several_of_arj_is_never_whole(tmp_path: Path, volume: str) -> None:
    if shutil.which("arj") is None:
        pytest.skip("needs arj")
    (tmp_path / NAME).write_bytes(random.Random(1).randbytes(25_000))  # noqa: S311  # no secret
    argv = ["arj", "a", "-y", "-v10k", tmp_path / "packed.arj", tmp_path / NAME]
    subprocess.run(argv, capture_output=True, check=True)
    assert Cause.UNREADABLE in causes((tmp_path / volume).read_bytes())


@needs_library
def test_a_rar_with_encrypted_headers_is_encrypted() -> None:
    assert Cause.ENCRYPTED in causes(rar(flags=0x80))


@needs_library
def test_an_archive_that_shows_nothing_is_a_doubt() -> None:
    start = bytes(20)
    empty = b"7z\xbc\xaf\x27\x1c\0\4" + struct.pack("<L", zlib.crc32(start)) + start
    assert causes(empty + bytes(50)) == {Cause.UNREADABLE}


# --- what programs open, packed by real packers


@needs_7zip
@pytest.mark.parametrize(
    ("packer", "argv"),
    [
        ("arj", ("a", "-y", "ARCHIVE", NAME)),
        ("7zz", ("a", "-twim", "ARCHIVE", NAME)),
        ("7zz", ("a", "-t7z", "-m0=PPMd", "ARCHIVE", NAME)),
        ("7zz", ("a", "-tzip", "-mm=Deflate64", "ARCHIVE", NAME)),
        ("7zz", ("a", "-tzip", "-mm=PPMd", "ARCHIVE", NAME)),
        ("genisoimage", ("-quiet", "-udf", "-o", "ARCHIVE", NAME)),
    ],
)
def test_what_a_real_packer_packs_is_opened(
    tmp_path: Path, packer: str, argv: tuple[str, ...]
) -> None:
    found = found_in(packed(tmp_path, packer, *argv))
    assert PAYLOAD in [item.data for item in found if isinstance(item, Member)]
    assert not [item for item in found if isinstance(item, Doubt)]


@needs_7zip
@pytest.mark.parametrize(
    "argv",
    [("a", "-psecret"), ("a", "-psecret", "-mhe"), ("a", "-psecret", "-tzip", "-mem=AES256")],
    ids=["7z", "7z with its names", "zip"],
)
def test_an_encrypted_archive_is_told_from_a_broken_one(
    tmp_path: Path, argv: tuple[str, ...]
) -> None:
    assert causes(packed(tmp_path, "7zz", *argv, "ARCHIVE", NAME)) == {Cause.ENCRYPTED}


def floppy(folder: Path) -> bytes:
    """A disk with the file in a FAT on it."""
    if shutil.which("mcopy") is None or not Path("/usr/sbin/mkfs.fat").exists():
        pytest.skip("needs mtools and dosfstools")
    image = folder / "disk"
    image.write_bytes(bytes(1440 * 1024))
    (folder / NAME).write_bytes(PAYLOAD)
    subprocess.run(["/usr/sbin/mkfs.fat", image], check=True, capture_output=True)
    subprocess.run(["mcopy", "-i", image, folder / NAME, "::"], check=True)
    return image.read_bytes()


def reached(data: bytes) -> bool:
    """Whether the file is found however deep it lies."""
    none = Patterns.parse(b"", "matches.bad")
    mail = b"Content-Transfer-Encoding: base64\r\nFrom: a@b.c\r\n\r\n" + base64.encodebytes(data)
    report = inspect(mail, Tools(bad=none, doc=none, engines=())).report
    digest = hashlib.sha256(PAYLOAD).hexdigest()
    return report.verdict is Verdict.CLEAN and digest in {part.sha256 for part in report.parts}


@needs_7zip
def test_a_file_in_a_disk_image_is_found(tmp_path: Path) -> None:
    assert THE_FILE in found_in(floppy(tmp_path))


@needs_7zip
def test_a_file_in_a_partition_of_a_virtual_disk_is_reached(tmp_path: Path) -> None:
    disk = floppy(tmp_path)
    assert reached(vhd(disk))
    assert reached(partitioned(disk))
    assert reached(vhd(partitioned(disk)))


@needs_7zip
@pytest.mark.parametrize("form", ["vpc", "vhdx", "vmdk", "qcow2", "vdi"])
def test_a_file_in_a_virtual_disk_of_any_kind_is_reached(tmp_path: Path, form: str) -> None:
    if shutil.which("qemu-img") is None:
        pytest.skip("needs qemu-img")
    (tmp_path / "raw").write_bytes(partitioned(floppy(tmp_path)))
    argv = ["qemu-img", "convert", "-f", "raw", "-O", form, tmp_path / "raw", tmp_path / "made"]
    subprocess.run(argv, check=True)
    assert reached((tmp_path / "made").read_bytes())


@needs_7zip
def test_a_file_in_a_xar_is_found() -> None:
    assert THE_FILE in found_in(xar())


@needs_7zip
def test_an_arj_archive_behind_a_program_is_opened(tmp_path: Path) -> None:
    archive = packed(tmp_path, "arj", "a", "-y", "ARCHIVE", NAME)
    assert THE_FILE in found_in(b"MZ" + bytes(range(256)) * 9 + archive)
    assert found_in(b"MZ" + bytes(range(256)) * 9 + archive.replace(b"packed", b"Packed")) == []


def test_a_zip_behind_a_program_is_opened() -> None:
    assert THE_FILE in found_in(b"MZ" + bytes(range(256)) * 9 + zipped())


@needs_7zip
@pytest.mark.parametrize("method", ["Copy", "Deflate", "Deflate64", "BZip2", "LZMA", "PPMd", "XZ"])
def test_every_method_of_zip_is_opened(tmp_path: Path, method: str) -> None:
    archive = packed(tmp_path, "7zz", "a", "-tzip", f"-mm={method}", "ARCHIVE", NAME)
    assert found_in(archive) == [THE_FILE]


@needs_7zip
def test_an_encrypted_arj_is_told_from_a_broken_one(tmp_path: Path) -> None:
    assert causes(packed(tmp_path, "arj", "a", "-y", "-gx", "ARCHIVE", NAME)) == {Cause.ENCRYPTED}


def test_the_streams_of_an_installer_have_their_real_names() -> None:
    two = chr(0x3800 + (10 + 15 * 1) + (18 << 6))  # "P" and "I"
    archive = compound(("\u4840" + two + "\u4819", PAYLOAD))
    (member,) = found_in(archive)
    assert isinstance(member, Member)
    assert member.name == "!PIP"


@pytest.mark.skipif(UNAR.missing() is not None, reason="needs unar and bubblewrap")
def test_the_unarchiver_gives_what_libarchive_gives() -> None:
    assert list(UNAR.members(rar(), Meter(Budget(Bounds()), 1 << 20))) == [THE_FILE]


def test_without_its_tools_an_archive_is_a_doubt_that_names_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(program, "_BWRAP", "/usr/bin/no-such-program")
    (doubt,) = found_in(b"\x60\xea\x1e\0" + bytes(40))
    assert isinstance(doubt, Doubt)
    assert doubt.cause is Cause.UNOPENED
    assert doubt.reason.startswith("ARJ archives are not opened without bwrap and /usr/bin/7zz")
    assert dict(capabilities())["ARJ archives"] is None


NO_ARCHIVES = {  # nor, with no more than their beginning, these two
    *["application/x-ole-storage", "application/gzip"],
    *["application/x-dosexec", "application/x-executable", "application/x-mach-binary"],
    *["application/java-vm", "application/x-dex", "application/wasm"],
    *["application/postscript", "application/x-ms-shortcut", "application/rtf"],
    *["application/x-msaccess", "application/vnd.sqlite3", "application/x-shockwave-flash"],
}


def test_whatever_is_known_for_an_archive_is_opened_or_a_doubt() -> None:
    silent = []
    for offset, magic, kind in content._MAGICS:
        packing = kind.startswith("application/") and kind not in NO_ARCHIVES
        data = bytes(offset) + magic + b"\x1e\x009-" + bytes(2000)
        if packing and content.sniff(data) == kind and not found_in(data):
            silent.append(kind)
    assert silent == []


@needs_7zip
@needs_library
def test_a_bomb_in_7z_ends_at_the_bounds(tmp_path: Path) -> None:
    (tmp_path / "zeros").write_bytes(bytes(1 << 25))
    archive = packed(tmp_path, "7zz", "a", "ARCHIVE", "zeros")
    with pytest.raises(LimitReached, match="times its size"):
        found_in(archive)
