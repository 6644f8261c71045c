"""zip, as senders of viruses make it, and as nobody makes it."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest
from containers import PLAIN, patched
from unpacking import THE_FILE, doubts, opened

from spoolscan.cli.specimens import NAME, PAYLOAD, compound, without_directory, zipped
from spoolscan.scanner.bounds import Bounds, Budget, LimitReached
from spoolscan.scanner.unpack import Member, unpack
from spoolscan.verdict import Cause, Doubt


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_a_zip_is_opened_by_every_method_we_know(method: int) -> None:
    archive = zipped(method=method)
    assert opened(archive) == [THE_FILE]
    assert doubts(archive) == []


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
    assert doubts(archive) == [Cause.AMBIGUOUS]


def test_a_member_that_only_the_directory_describes_rightly_is_opened() -> None:
    archive = patched(zipped(), b"PK\3\4", 8, struct.pack("<H", 0))
    assert THE_FILE in opened(archive)
    assert Cause.AMBIGUOUS in doubts(archive)


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
    assert doubts(archive) == [Cause.ENCRYPTED]


def test_an_encrypted_open_document_is_a_doubt() -> None:
    manifest = b"<manifest:file-entry><manifest:encryption-data/></manifest:file-entry>"
    document = zipped(("META-INF/manifest.xml", manifest), ("content.xml", PAYLOAD))
    assert doubts(document) == [Cause.ENCRYPTED]
    assert doubts(zipped(("META-INF/manifest.xml", b"<manifest:file-entry/>"))) == []


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
    assert doubts(archive) == [Cause.UNREADABLE]


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
    assert Cause.UNREADABLE in doubts(patched(zipped(), b"PK\5\6", 4, b"\1\0"))


def test_a_zip_of_which_nothing_can_be_read_is_a_doubt() -> None:
    assert doubts(b"PK\3\4" + b"\xff" * 40) == [Cause.UNREADABLE]


def test_an_empty_member_is_fine_whatever_its_method() -> None:
    header = b"PK\3\4" + struct.pack("<5H3L2H", 20, 0, 8, 0, 0, 0, 0, 0, 1, 0) + b"a"
    archive = header + zipped()
    assert opened(archive) == [Member("a", b""), THE_FILE]
    assert doubts(archive) == []


def test_a_zip_whose_directory_leads_nowhere_is_a_doubt() -> None:
    archive = zipped().replace(b"PK\3\4", b"PK\3\5")
    assert doubts(archive) == [Cause.UNREADABLE]
    assert doubts(b"MZ" + bytes(999) + archive) == [Cause.UNREADABLE]


def test_an_empty_zip_is_fine() -> None:
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    assert (opened(buffer.getvalue()), doubts(buffer.getvalue())) == ([], [])
