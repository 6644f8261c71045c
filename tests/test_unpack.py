"""Containers as senders of viruses make them, format by format.

Long, because it is a list: a format, its misuses, the next format.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import io
import json
import os
import shutil
import struct
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from spoolscan.cli import specimens
from spoolscan.cli.specimens import (
    NAME,
    PAYLOAD,
    PLAIN,
    compound,
    gzipped,
    mapi,
    ole_object,
    package,
    patched,
    rtf,
    shortcut,
    tarred,
    tnef,
    uuencoded,
    winmail,
    without_directory,
    zipped,
)
from spoolscan.scanner.bounds import Bounds, Budget, LimitReached
from spoolscan.scanner.unpack import Member, unpack
from spoolscan.verdict import Cause, Doubt


def opened(data: bytes, bounds: Bounds = Bounds()) -> list[Member]:
    return [item for item in unpack(data, Budget(bounds)) if isinstance(item, Member)]


def causes(data: bytes) -> list[Cause]:
    return [item.cause for item in unpack(data, Budget(Bounds())) if isinstance(item, Doubt)]


CORPUS = Path(os.environ.get("SPOOLSCAN_CORPUS", Path(__file__).parents[2] / "shared" / "corpus"))
THE_FILE = Member(NAME, PAYLOAD)

# --- zip


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_a_zip_is_opened_by_every_method_we_know(method: int) -> None:
    archive = zipped(method=method)
    assert opened(archive) == [THE_FILE]
    assert causes(archive) == []


@pytest.mark.parametrize(
    "archive",
    [
        b"GIF89a" + PLAIN + zipped(),
        zipped() + PLAIN * 100,
        without_directory(zipped()),
        b"PK00" + zipped(),
        zipped(("a.txt", b"innocent")) + zipped(),
        zipped() + zipped(("a.txt", b"innocent")),
        b"PK\3\4" * 100 + zipped(),
    ],
    ids=["behind junk", "before junk", "no directory", "marked", "second", "first", "behind fakes"],
)
def test_a_zip_is_opened_wherever_it_stands(archive: bytes) -> None:
    assert THE_FILE in opened(archive)


def test_a_zip_that_begins_as_an_installer_is_opened_too() -> None:
    assert THE_FILE in opened(compound(("Package", PLAIN)) + zipped())


def test_both_names_of_a_zip_member_are_seen_and_their_difference_told() -> None:
    archive = patched(zipped(), b"PK\3\4", 30, b"invoice.txt")
    assert opened(archive) == [Member("invoice.txt", PAYLOAD), THE_FILE]
    assert causes(archive) == [Cause.AMBIGUOUS]


def test_a_member_that_only_the_directory_describes_rightly_is_opened() -> None:
    archive = patched(zipped(), b"PK\3\4", 8, struct.pack("<H", 0))
    assert THE_FILE in opened(archive)
    assert Cause.AMBIGUOUS in causes(archive)


def test_a_method_that_both_views_give_falsely_is_seen_through() -> None:
    archive = zipped()
    for signature, offset in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        archive = patched(archive, signature, offset, struct.pack("<H", 0))
    assert opened(archive) == [THE_FILE]


def test_an_encrypted_member_is_a_doubt_and_still_has_its_name() -> None:
    archive = zipped()
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        archive = patched(archive, signature, offset, b"\1\0")
    assert opened(archive) == [Member(NAME, b"", opened=False)]
    assert causes(archive) == [Cause.ENCRYPTED]


def test_an_encrypted_open_document_is_a_doubt() -> None:
    manifest = b"<manifest:file-entry><manifest:encryption-data/></manifest:file-entry>"
    document = zipped(("META-INF/manifest.xml", manifest), ("content.xml", PAYLOAD))
    assert causes(document) == [Cause.ENCRYPTED]
    assert causes(zipped(("META-INF/manifest.xml", b"<manifest:file-entry/>"))) == []


def test_a_method_that_we_do_not_open_is_a_doubt_and_names_it() -> None:
    archive = zipped()
    for signature, offset in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        archive = patched(archive, signature, offset, struct.pack("<H", 94))
        archive = patched(archive, signature, offset + 6, b"\1\2\3\4")
    found = [item for item in unpack(archive, Budget(Bounds())) if isinstance(item, Doubt)]
    assert found == [Doubt(Cause.UNOPENED, "zip members packed with mp3 are not opened")]
    assert opened(archive) == [Member(NAME, b"", opened=False)]


def test_a_wrong_checksum_is_a_doubt_and_costs_nothing() -> None:
    archive = zipped()
    for signature, offset in ((b"PK\3\4", 14), (b"PK\1\2", 16)):
        archive = patched(archive, signature, offset, b"\1\2\3\4")
    assert opened(archive) == [THE_FILE]
    assert causes(archive) == [Cause.UNREADABLE]


def test_a_member_whose_sizes_follow_it_is_opened() -> None:
    class Pipe(io.RawIOBase):
        """Cannot be sought, so that sizes are written behind the data."""

        def __init__(self) -> None:
            self.written = b""

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]  # bytes are all it gets
            self.written += bytes(data)
            return len(data)

    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        pipe = Pipe()
        with zipfile.ZipFile(pipe, "w", method) as archive:  # type: ignore[call-overload]  # a raw stream will do
            archive.writestr(NAME, PAYLOAD)
        assert THE_FILE in opened(pipe.written)
        assert THE_FILE in opened(without_directory(pipe.written))


def test_overlapping_members_end_at_a_bound() -> None:
    """As Fifield makes them: every header covers all that follow it, in stored blocks."""
    kernel = without_directory(zipped(("0", bytes(1 << 20))))
    headers = [
        b"PK\3\4" + struct.pack("<5H3L2H", 20, 0, 8, 0, 0, 0, 0, 0, 1, 0) + b"%d" % (n % 10)
        for n in range(200)
    ]
    quoted = [b"\0" + struct.pack("<HH", 31, 31 ^ 0xFFFF) + header for header in headers[1:]]
    bomb = headers[0] + b"".join(quoted) + kernel[31:]
    with pytest.raises(LimitReached):
        opened(bomb, Bounds(decoded_bytes=100 << 20))


def test_a_bomb_ends_at_the_ratio() -> None:
    bomb = zipped(("0", bytes(3 << 20)))
    with pytest.raises(LimitReached, match="times its size"):
        opened(bomb, Bounds(ratio=100))


def test_one_volume_of_a_split_zip_is_a_doubt() -> None:
    assert Cause.UNREADABLE in causes(patched(zipped(), b"PK\5\6", 4, b"\1\0"))


def test_a_zip_of_which_nothing_can_be_read_is_a_doubt() -> None:
    assert causes(b"PK\3\4" + b"\xff" * 40) == [Cause.UNREADABLE]


def test_an_empty_member_is_fine_whatever_its_method() -> None:
    header = b"PK\3\4" + struct.pack("<5H3L2H", 20, 0, 8, 0, 0, 0, 0, 0, 1, 0) + b"a"
    archive = header + zipped()
    assert opened(archive) == [Member("a", b""), THE_FILE]
    assert causes(archive) == []


def test_a_zip_whose_directory_leads_nowhere_is_a_doubt() -> None:
    archive = zipped().replace(b"PK\3\4", b"PK\3\5")
    assert causes(archive) == [Cause.UNREADABLE]
    assert causes(b"MZ" + bytes(999) + archive) == [Cause.UNREADABLE]


def test_an_empty_zip_is_fine() -> None:
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    assert (opened(buffer.getvalue()), causes(buffer.getvalue())) == ([], [])


# --- compressed files and tar


def test_streams_that_follow_one_another_are_one_file() -> None:
    assert opened(gzipped(b"one, ") + gzipped(b"two")) == [Member(NAME, b"one, two")]


def test_what_stands_behind_a_stream_is_a_member_of_its_own() -> None:
    assert opened(gzipped(b"one") + PAYLOAD) == [Member(NAME, b"one"), Member("", PAYLOAD)]


def test_a_stream_with_a_wrong_checksum_gives_what_it_held() -> None:
    broken = gzipped()[:-8] + b"\0" * 8
    assert opened(broken) == [THE_FILE]
    assert causes(broken) == [Cause.UNREADABLE]


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
    assert causes(tarred()[:700]) == [Cause.UNREADABLE]


# --- Outlook and Office


def test_an_attachment_whose_names_end_differently_is_given_under_both() -> None:
    assert opened(winmail("invoice.exe", title="invoice.txt")) == [
        Member("invoice.exe", PAYLOAD),
        Member("invoice.txt", PAYLOAD),
    ]


def test_every_attachment_of_a_winmail_dat_is_whole() -> None:
    one = (2, 0x9002, b"\0" * 14), (2, 0x8010, b"a.txt\0"), (2, 0x800F, b"first")
    two = (2, 0x9002, b"\0" * 14), (2, 0x8010, b"b.txt\0"), (2, 0x800F, PAYLOAD)
    assert opened(tnef(*one, *two)) == [Member("a.txt", b"first"), Member("b.txt", PAYLOAD)]


def test_a_message_in_a_winmail_dat_is_a_member_that_can_be_opened() -> None:
    inner = winmail()
    value = b"\x07\x03\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46" + inner
    outer = tnef((2, 0x9002, b"\0" * 14), (2, 0x9005, mapi((0x0D, 0x3701, value))))
    assert opened(outer) == [Member("", inner)]


def test_the_bodies_of_a_winmail_dat_are_members() -> None:
    stored = b"{\\rtf1 hello}"
    rtf_value = struct.pack("<LL4sL", len(stored) + 12, len(stored), b"MELA", 0) + stored
    properties = mapi((0x102, 0x1013, b"<html>"), (0x102, 0x1009, rtf_value))
    assert opened(tnef((1, 0x9003, properties))) == [
        Member("message.html", b"<html>"),
        Member("message.rtf", stored),
    ]


def test_compressed_rtf_is_expanded() -> None:
    # The example of [MS-OXRTFCP] section 3.2.
    packed = binascii.unhexlify(
        "2d0000002b0000004c5a4675f1c5c7a703000a00726370673132354232"
        "0af32068656c090020627705b06c647d0a800fa0"
    )
    members = opened(tnef((1, 0x9003, mapi((0x102, 0x1009, packed)))))
    assert members[0].data == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"


def test_a_winmail_dat_cut_short_is_a_doubt() -> None:
    assert causes(winmail()[:-200]) == [Cause.UNREADABLE]


DIGITS = binascii.hexlify(ole_object(package()))


@pytest.mark.parametrize(
    "hidden",
    [
        b"{\\rtf1{\\object{\\*\\objdata \r\n " + DIGITS[:40] + b"\r\n\t " + DIGITS[40:] + b"}}}",
        b"{\\rt{\\object{\\*\\objdata" + DIGITS[:41] + b"{\\*\\foo a1b2}" + DIGITS[41:] + b"}}}",
        b"{\\rtf1{\\*\\objdata " + DIGITS[:50] + b"\\bar7 {}\\'a1" + DIGITS[50:] + b"}}",
        b"{\\rtf1{\\*\\objdata " + b" ".join(bytes([digit]) for digit in DIGITS),
        b"{\\rtf1{\\*\\objdata\\bin%d " % (len(DIGITS) // 2) + ole_object(package()) + b"}}",
    ],
    ids=["white space", "inner group", "control words", "blank between digits", "binary"],
)
def test_an_object_in_rtf_is_found_however_its_digits_are_hidden(hidden: bytes) -> None:
    assert THE_FILE in opened(hidden)


def test_an_object_in_rtf_that_is_a_compound_file_is_given_as_such() -> None:
    inner = compound(("Package", PAYLOAD))
    assert inner in [member.data for member in opened(rtf(ole_object(inner, b"Word.Document")))]


def test_a_compound_file_gives_what_is_something_and_leaves_the_rest() -> None:
    document = compound(("WordDocument", b"\0" * 5000), ("ObjectPool/Package", zipped()))
    members = opened(document)
    assert [member.name for member in members] == ["ObjectPool/Package"]
    assert THE_FILE in opened(members[0].data)


def test_the_source_of_macros_is_a_member() -> None:
    # One chunk, all literals: each flag byte before eight letters.
    text = b'\x00Attribute VB_Name = "ThisDocument"\r\nSub AutoOpen()\r\n'
    source = b'Attribute VB_Name = "ThisDocument"\r\nSub AutoOpen()\r\n'
    chunk = text[:9]
    rest = text[9:]
    for at in range(0, len(rest), 8):
        chunk += b"\0" + rest[at : at + 8]
    packed = b"\1" + struct.pack("<H", 0xB000 | len(chunk) - 1) + chunk
    document = compound(("VBA/ThisDocument", b"\x16\1\0" * 20 + packed))
    assert opened(document) == [Member("VBA/ThisDocument", source)]


def test_attachments_of_an_outlook_message_have_their_names() -> None:
    message = compound(
        ("__attach_version1.0_#00000000/__substg1.0_3707001F", NAME.encode("utf-16-le")),
        ("__attach_version1.0_#00000000/__substg1.0_37010102", PAYLOAD.ljust(4096, b"\0")),
    )
    assert [member.name.rstrip("\0") for member in opened(message)] == [NAME]


def test_an_encrypted_document_is_a_doubt() -> None:
    assert causes(compound(("EncryptedPackage", b"\0" * 64))) == [Cause.ENCRYPTED]


def test_a_compound_file_whose_chains_go_in_circles_ends() -> None:
    document = bytearray(compound(("Package", PAYLOAD)))
    document[512 + 4 : 512 + 8] = struct.pack("<L", 1)
    assert isinstance(opened(bytes(document)), list)


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


def listed(*folders: str) -> list[dict[str, Any]]:
    """The samples of these folders whose source lists what is in them."""
    oracle = CORPUS / "ORACLE.jsonl"
    if not oracle.exists():
        pytest.skip(f"no corpus at {CORPUS}: set SPOOLSCAN_CORPUS")
    with oracle.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [
        row
        for row in rows
        if row["path"].startswith(folders) and (row["own"] or {}).get("entries")
        and not row["path"].endswith(".eml")
    ]  # fmt: skip


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
        names, _ = inside((CORPUS / row["path"]).read_bytes())
        # Its names for the second of two attachments of one name end in a number.
        wanted = {
            name.removesuffix(".1").removesuffix(".2").casefold() for name in row["own"]["entries"]
        }
        if wanted - names:
            missed[row["path"]] = wanted - names
    assert missed == {}


# A raw deflate stream, brotli and an LZ4 block have no beginning to be known by.
WITHOUT_A_MARK = (".br", ".deflate", ".deflatez", ".block_lz4")


@pytest.mark.corpus
def test_every_archive_in_the_corpus_is_opened_or_a_doubt() -> None:
    missed = {}
    for row in listed(
        "commons-compress/", "libarchive/", "py7zr/", "rarfile/", "lhasa/", "strelka/"
    ):
        names, found_doubts = inside((CORPUS / row["path"]).read_bytes())
        wanted = {entry.rpartition("/")[2].casefold() for entry in row["own"]["entries"]}
        if wanted - names and not found_doubts and not row["path"].endswith(WITHOUT_A_MARK):
            missed[row["path"]] = wanted - names
    assert missed == {}


# S/MIME


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
    assert causes(shortcut(behind=b"")) == []


def test_a_shortcut_cut_short_is_a_doubt() -> None:
    assert causes(shortcut(behind=b"")[:-14]) == [Cause.UNREADABLE]
