"""Containers as senders of viruses make them: tar, text, S/MIME, shortcuts; and the corpus."""

from __future__ import annotations

import base64
import codecs
import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from containers import PLAIN, shortcut
from corpus_rows import FOLDER, Row, absent, rows
from unpacking import THE_FILE, doubts, opened

from spoolscan.cli import specimens
from spoolscan.cli.specimens import NAME, PAYLOAD, gzipped, tarred, uuencoded
from spoolscan.scanner.bounds import Bounds, Budget
from spoolscan.scanner.unpack import Member, unpack
from spoolscan.verdict import Cause, Doubt

# --- compressed files and tar


def test_streams_that_follow_one_another_are_one_file() -> None:
    assert opened(gzipped(b"one, ") + gzipped(b"two")) == [Member(NAME, b"one, two")]


def test_what_stands_behind_a_stream_is_a_member_of_its_own() -> None:
    assert opened(gzipped(b"one") + PAYLOAD) == [Member(NAME, b"one"), Member("", PAYLOAD)]


def test_a_stream_with_a_wrong_checksum_gives_what_it_held() -> None:
    broken = gzipped()[:-8] + b"\0" * 8
    assert opened(broken) == [THE_FILE]
    assert doubts(broken) == [Cause.UNREADABLE]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_long_names_in_a_tar_are_whole(form: int) -> None:
    folder = "a" * 60 if form == tarfile.USTAR_FORMAT else "a" * 150
    assert opened(tarred(f"{folder}/{'b' * 90}.exe", form=form)) == [
        Member(f"{folder}/{'b' * 90}.exe", PAYLOAD)
    ]


def test_a_tar_behind_the_end_of_a_tar_is_read_on() -> None:
    assert opened(tarred("a.txt", b"innocent") + tarred()) == [
        Member("a.txt", b"innocent"),
        THE_FILE,
    ]


def test_a_link_in_a_tar_is_a_name_without_content() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("passwords")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert opened(buffer.getvalue()) == [Member("passwords", b"")]


def test_a_tar_cut_short_is_a_doubt() -> None:
    assert doubts(tarred()[:700]) == [Cause.UNREADABLE]


# --- text


def test_several_files_in_one_text_are_all_found() -> None:
    text = PLAIN + uuencoded(b"first", "a.txt") + PLAIN + uuencoded() + PLAIN
    assert opened(text) == [Member("a.txt", b"first"), THE_FILE]


def test_a_block_without_its_end_stops_at_the_next() -> None:
    text = uuencoded(b"first", "a.txt").replace(b"end\n", b"") + uuencoded()
    assert opened(text) == [Member("a.txt", b"first"), THE_FILE]


LETTERS = base64.b64encode(PAYLOAD)
SMUGGLED = {
    "data: URI": b'<a href="data:application/zip;name=x;base64,' + LETTERS + b'">',
    "data: URI, escaped": b"<a href='data:,"
    + b"".join(b"%%%02X" % byte for byte in PAYLOAD)
    + b"'>",
    "atob": b"<script>var b = atob('" + LETTERS + b"');",
    "pieces": b'<script>var b = "' + b'" +\n "'.join((LETTERS[:100], LETTERS[100:])) + b'";',
    "array": b"new Uint8Array([" + b",".join(b"%d" % byte for byte in PAYLOAD) + b"])",
    "hex array": b"var b = [ " + b", ".join(b"0x%02x" % byte for byte in PAYLOAD) + b" ]",
    "hex": b"var b = '" + PAYLOAD.hex().encode() + b"'",
    "escapes": b'var b = "' + b"".join(b"\\x%02x" % byte for byte in PAYLOAD) + b'"',
    "UTF-16": codecs.BOM_UTF16_LE + f"<script>atob('{LETTERS.decode()}')".encode("utf-16-le"),
    "quoted mail": PLAIN + b"> " + b"\n> ".join(LETTERS[at : at + 76] for at in range(0, 1400, 76)),
}


@pytest.mark.parametrize("page", SMUGGLED.values(), ids=SMUGGLED)
def test_a_file_smuggled_in_a_page_is_found(page: bytes) -> None:
    assert any(member.data == PAYLOAD for member in opened(page))


def test_a_page_without_files_has_no_members() -> None:
    page = b"<html><p>" + PLAIN + b"<pre>" + bytes(range(32, 127)).hex().encode() + b"</pre></html>"
    assert opened(page) == []


# --- what is recognised and not opened


@pytest.mark.parametrize(
    "data",
    [
        b"7z\xbc\xaf\x27\x1c\0\4",
        b"Rar!\x1a\x07\x01\0",
        b"MSCF\0\0\0\0",
        b"\x28\xb5\x2f\xfd\x04",
        bytes(32769) + b"CD001",
        PAYLOAD + b"7z\xbc\xaf\x27\x1c\0\4",
        b"GIF89a" + PLAIN + b"Rar!\x1a\x07\0",
        b"KWAJ\x88\xf0\x27\xd1",
    ],
)
def test_an_archive_that_nobody_can_open_is_a_doubt(data: bytes) -> None:
    found = [item for item in unpack(data, Budget(Bounds())) if isinstance(item, Doubt)]
    assert {doubt.cause for doubt in found} == {Cause.UNREADABLE}


# --- the corpus


def listed(*folders: str) -> list[Row]:
    """The samples of these folders whose source lists what is in them."""
    if reason := absent():
        pytest.skip(reason)
    return [
        row
        for row in rows()
        if row.path.startswith(folders) and row.own.get("entries") and not row.path.endswith(".eml")
    ]


def inside(data: bytes) -> tuple[set[str], list[Doubt]]:
    """The last part of every name at any depth, casefolded, and all doubts."""
    budget = Budget(Bounds())
    names: set[str] = set()
    found_doubts: list[Doubt] = []
    waiting = [data]
    while waiting:
        for item in unpack(waiting.pop(), budget):
            if isinstance(item, Doubt):
                found_doubts.append(item)
            else:
                names.add(item.name.replace("\\", "/").rpartition("/")[2].casefold())
                waiting.append(item.data)
    return names, found_doubts


@pytest.mark.corpus
def test_every_attachment_that_mimekit_finds_in_a_winmail_dat_is_found() -> None:
    missed = {}
    for row in listed("mimekit-tnef/"):
        names, _ = inside((FOLDER / row.path).read_bytes())
        # Its names for the second of two attachments of one name end in a number.
        wanted = {
            name.removesuffix(".1").removesuffix(".2").casefold() for name in row.own["entries"]
        }
        if wanted - names:
            missed[row.path] = wanted - names
    assert missed == {}


# A raw deflate stream, brotli and an LZ4 block have no beginning to be known by.
WITHOUT_A_MARK = (".br", ".deflate", ".deflatez", ".block_lz4")


@pytest.mark.corpus
def test_every_archive_in_the_corpus_is_opened_or_a_doubt() -> None:
    missed = {}
    for row in listed(
        "commons-compress/", "libarchive/", "py7zr/", "rarfile/", "lhasa/", "strelka/"
    ):
        names, found_doubts = inside((FOLDER / row.path).read_bytes())
        wanted = {entry.rpartition("/")[2].casefold() for entry in row.own["entries"]}
        if wanted - names and not found_doubts and not row.path.endswith(WITHOUT_A_MARK):
            missed[row.path] = wanted - names
    assert missed == {}


# --- S/MIME


@pytest.mark.parametrize("strings", [(PAYLOAD,), (PAYLOAD[:9], PAYLOAD[9:])])
def test_what_a_signature_is_around_is_a_member(strings: tuple[bytes, ...]) -> None:
    assert list(unpack(specimens.smime(*strings), Budget(Bounds()))) == [Member("", PAYLOAD)]


def test_a_signature_beside_what_it_signs_holds_nothing() -> None:
    assert list(unpack(specimens.smime(), Budget(Bounds()))) == []


@pytest.mark.parametrize(
    "sealed", [specimens.smime(PAYLOAD, kind=3), b"-----BEGIN PGP MESSAGE-----\n\nx\n"]
)
def test_what_is_for_its_reader_alone_is_said_to_be_sealed(sealed: bytes) -> None:
    [doubt] = unpack(sealed, Budget(Bounds()))
    assert isinstance(doubt, Doubt)
    assert doubt.cause is Cause.SEALED


@pytest.mark.real
def test_what_openssl_signs_is_read_whether_its_lengths_are_told_or_not(tmp_path: Path) -> None:
    if not shutil.which("openssl"):
        pytest.skip("no openssl here: install openssl to run this test")
    (tmp_path / "mail").write_bytes(PAYLOAD)

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "k", "-out", "c",
            "-subj", "/CN=x")  # fmt: skip
    for stream in ((), ("-stream",)):
        openssl("cms", "-sign", "-nodetach", "-binary", "-in", "mail", "-signer", "c", "-inkey",
                "k", "-outform", "DER", "-out", "signed", *stream)  # fmt: skip
        signed = (tmp_path / "signed").read_bytes()
        assert list(unpack(signed, Budget(Bounds()))) == [Member("", PAYLOAD)]


# --- shortcuts


def test_the_command_of_a_shortcut_is_a_member_and_so_is_what_hangs_behind_it() -> None:
    found = list(unpack(shortcut("/c powershell -e AAAA"), Budget(Bounds())))
    assert found == [
        Member("command", b"..\\cmd.exe /c powershell -e AAAA"),
        Member("", PAYLOAD),
    ]


def test_a_shortcut_with_nothing_behind_it_is_whole() -> None:
    assert [item.name for item in opened(shortcut(behind=b""))] == ["command"]
    assert doubts(shortcut(behind=b"")) == []


def test_a_shortcut_cut_short_is_a_doubt() -> None:
    assert doubts(shortcut(behind=b"")[:-14]) == [Cause.UNREADABLE]
