"""Every name and payload that others know to be in the corpus is found, and ordinary mail is clean.

What is missed for a reason stands in the tables below.  They are exact: an exception that is no
longer needed fails the test, and so does a new one.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache

import pytest
from corpus_rows import Row, absent, rows, samples

from spoolscan import share
from spoolscan.config import Config
from spoolscan.scanner import mime
from spoolscan.scanner.bounds import Bounds, Budget
from spoolscan.scanner.inspect import Inspection, Tools, inspect
from spoolscan.scanner.patterns import Patterns
from spoolscan.scanner.toolbox import Toolbox
from spoolscan.verdict import Cause, Report, Verdict

pytestmark = pytest.mark.corpus

MISSED_NAMES = {
    # What the command `tnef` calls a body it was told to save; we call it message.html or .rtf.
    "tnef/body.tnef": "the tool's own name for a body",
    "tnef/long-filename.tnef": "the tool's own name for a body",
    "tnef/rtf.tnef": "the tool's own name for a body",
    # MimeKit counts attachments of one title; both are found under that title.
    "mimekit-tnef/tnef/winmail.tnef": "numbers that MimeKit adds to equal names",
}
MISSED_PAYLOADS = {
    "mimekit-tnef/tnef/winmail.tnef": "MimeKit joins the OLE object to its metafile; we give both",
    "mime4j/testmsgs/malformedHeaderStartsBody-noheader.msg": "mime4j takes the first line away",
    "mime4j/mimetools-testmsgs/jt-0498.msg": "mime4j ends the inner message one line end later",
    "mime4j/testmsgs/very-very-long-boundary.msg": "over a bound, and not called clean",
}
MISSED_VIRUSES = {
    "spamassassin-tdata/spam/olevbmacro/macro.eml": "a macro by hand that shows a word: noted",
}
# What others only say of an encrypted file is not said of one that a password opens.
OPENED = {
    "libarchive/test_read_format_zip_winzip_aes256.zip": "by the site's list",
    "libarchive/test_read_format_zip_winzip_aes256_large_lzma.zip": "by the site's list",
}
# Archives in which nothing is found and nothing is doubted: there is nothing in them to be opened.
EMPTY = {
    **dict.fromkeys(
        [f"libarchive/test_read_format_mtree{end}.mtree" for end in ("", "_nomagic2", "_nomagic3")],
        "a list of files, none of them in it",
    ),
    **dict.fromkeys(
        [f"clamav/clam-{packer}.exe" for packer in ("fsg", "upack", "upx")],
        "a program that unpacks itself when it runs",
    ),
    "libmspack/libmspack/test/test_files/kwajd/blank.kwj": "14 zeros",
    "libarchive/test_read_files_compressed.part02": "one zero",
    "libarchive/test_read_format_7zip_malformed3.7z": "the beginning of a program, and no 7z",
    "libarchive/test_read_format_cpio_afio_header.part2.cpio": "41 letters",
    "libarchive/test_read_format_iso_rockridge_zf_overflow.iso": "an empty image",
    "libarchive/test_read_format_tar_empty_filename.tar": "one file of no bytes and no name",
    "libarchive/test_read_format_zip_jar.jar": "one empty directory",
}
# Labelled as clean or real, and broken all the same: what each one's remark is about.
MALFORMED = {
    "cpython-test-email/msg_15.txt": "a multipart in a multipart with the same boundary",
    "cpython-test-email/msg_39.txt": "a multipart in a multipart with the same boundary",
    "cpython-test-email/msg_25.txt": "a multipart whose boundary parameter is cut off",
    "cpython-test-email/msg_40.txt": "parts in a text/html",
    "nodemailer/spam.eml": "parts in a text/html",
    "mikel-mail/emails/rfc2822/example13.eml": "a line that is no field, put where a blank one was",
    "enmime/mail/qp-utf8-header-no-break.raw": "no empty line between header and body",
    "kmime/simple-encapsulated.mbox": "two mails in a mailbox, not one mail",
    "php-mime-mail-parser/mails/issue126": "two Content-Type fields that contradict",
    "rspamd/fws_fn.eml": "the header ends with a blank in the empty line",
    "spamassassin-tdata/spam/015": "the header ends with a blank in the empty line",
    "rspamd/phish_sender.eml": "a boundary that is not the declared one",
    "rspamd/phish_sender4.eml": "a boundary that is not the declared one",
    "thunderbird/mail/test/browser/composition/data/content-utf8-rel-alt.eml": "two Content-Types",
    "thunderbird/mail/test/browser/message-window/data/test-rel-alt.eml": "two Content-Types",
    "robin-smtp/lipsum.mixed.eol.eml": "bare CR, bare LF and CR CR LF as line ends",
    "postal-mime/mimetorture.eml": "a .gz that is none",
    "rspamd/pdf_encrypted.eml": "a PDF that only its password opens",
    "proton-bridge/tests/testdata/plain/text_plain_multiple_attachments.template.eml": (
        "a template: zips cut short, with marks in them to be filled in"
    ),
}


@pytest.fixture(scope="module", autouse=True)
def _corpus() -> None:
    if reason := absent():
        pytest.skip(reason)


@cache
def shipped() -> Tools:
    return Toolbox(Config(root=share.folder("etc").parent)).tools()


@cache
def report(path: str) -> Report:
    """What the program as shipped says."""
    return inspect(_row(path).mail(), shipped()).report


@cache
def content(path: str) -> Inspection:
    """All there is in it: nothing is banned, and nothing is too harmless to be looked into."""
    nothing = Patterns.parse(b"", "matches.bad")
    return inspect(
        _row(path).mail(),
        replace(shipped(), bad=nothing, engines=(), everything=True, describe=True),
    )


def _row(path: str) -> Row:
    [row] = [row for row in rows() if row.path == path]
    return row


def plain(name: str) -> str:
    """File systems differ on case and on how an accent is written."""
    return unicodedata.normalize("NFC", name).casefold()


def names_in(found: Report) -> set[str]:
    return {plain(name) for part in found.parts for name in part.names}


def digests_in(found: Inspection) -> set[str]:
    """Of each content as it stands and with bare line ends, for sources differ on them."""
    contents = {sample.data for sample in found.samples}
    contents |= {data.replace(b"\r\n", b"\n") for data in contents}
    return {hashlib.sha256(data).hexdigest() for data in contents}


def failing(which: Iterable[Row], fails: Callable[[Row], bool]) -> set[str]:
    return {row.path for row in which if fails(row)}


def remarks(row: Row) -> set[str]:
    """The causes of all that the reader says of it, grave or not."""
    found = report(row.path).findings
    return {finding.name.partition(":")[0] for finding in found if finding.engine == "reader"}


def mails(*kinds: str) -> list[Row]:
    return [row for row in rows() if row.is_mail and (not kinds or row.kind in kinds)]


def test_every_name_that_the_source_or_most_parsers_see_is_found() -> None:
    def misses(row: Row) -> bool:
        return not {plain(name) for name in row.names()} <= names_in(content(row.path).report)

    assert failing(mails(), misses) == set()


def test_every_member_of_a_tnef_file_is_found() -> None:
    def misses(row: Row) -> bool:
        entries = {plain(str(entry)) for entry in row.own.get("entries") or ()}
        return not entries <= names_in(content(row.path).report)

    tnef = [row for row in rows() if row.kind == "tnef"]
    assert failing(tnef, misses) == set(MISSED_NAMES)


def test_every_payload_is_decoded_to_the_bytes_the_source_knows() -> None:
    def misses(row: Row) -> bool:
        leaves = set(row.own.get("leaf_sha256") or ())
        # Validity 0: no client need open it; that nobody calls it clean is another test.
        known = row.digests() if row.own.get("validity") != 0 else set()
        return not known | leaves <= digests_in(content(row.path))

    assert failing(rows(), misses) == set(MISSED_PAYLOADS)


def test_no_evasion_that_anybody_decodes_is_clean() -> None:
    def misses(row: Row) -> bool:
        known = row.decoded_eicar or row.clamav or row.own.get("virus")
        return bool(known) and report(row.path).verdict is Verdict.CLEAN

    assert failing(rows(), misses) == {*OPENED, *MISSED_VIRUSES}
    assert all(Cause.UNLOCKED.value in remarks(_row(path)) for path in OPENED)


def test_every_archive_is_opened_or_doubted() -> None:
    archives = [row for row in rows() if row.kind.startswith("archive")]
    assert len(archives) > 400

    def missed(row: Row) -> bool:
        found = content(row.path).report
        return len(found.parts) < 2 and not found.findings

    assert failing(archives, missed) == set(EMPTY)


def test_every_encrypted_archive_is_opened_by_a_password_or_said_to_be_encrypted() -> None:
    locked = [row for row in rows() if row.kind == "archive (encrypted)"]
    assert locked
    for row in locked:
        causes = {finding.name.partition(":")[0] for finding in content(row.path).report.findings}
        assert causes & {Cause.ENCRYPTED.value, Cause.UNLOCKED.value}, row.path


def test_a_rule_for_an_ending_would_see_every_name_that_hides_it() -> None:
    hidden = [row for row in rows() if row.own.get("ext_must_block")]
    zips = Patterns.parse(b"name=.*\\.zip$\n", "matches.bad")
    tools = replace(shipped(), bad=zips, engines=())

    def misses(row: Row) -> bool:
        return inspect(row.mail(), tools).report.verdict is not Verdict.BANNED

    assert len(hidden) > 50
    assert failing(hidden, misses) == set()


def test_ordinary_mail_is_clean_without_a_remark() -> None:
    ordinary = mails("real mail", "clean mail")
    assert len(ordinary) > 800

    def remarked(row: Row) -> bool:
        return bool(remarks(row) - {Cause.SEALED.value})

    assert failing(ordinary, remarked) == set(MALFORMED)


def test_only_what_is_encrypted_to_somebody_is_said_to_be_sealed() -> None:
    def sealed(row: Row) -> bool:
        return Cause.SEALED.value in remarks(row)

    ordinary = mails("real mail", "clean mail")
    found = failing(ordinary, sealed)
    assert found
    for row in ordinary:
        if row.path in found:
            mail = row.mail().lower()
            assert b"-----begin pgp message" in mail or b"pkcs7-mime" in mail, row.path


def test_the_content_of_real_mail_is_taken_for_no_harm() -> None:
    def suspected(row: Row) -> bool:
        return report(row.path).verdict is not Verdict.CLEAN

    assert failing(mails("real mail"), suspected) == set()


def test_real_mail_is_never_in_doubt() -> None:
    doubted = {
        row.path for row, data in samples("real mail") if mime.read(data, Budget(Bounds())).doubts
    }
    assert not doubted


def test_every_hidden_attachment_is_a_part_of_its_own() -> None:
    missed = []
    for row, data in samples("evasion"):
        if "hide-content" not in row.path or b"filename=" not in data:
            continue
        found = [
            part
            for part in mime.read(data, Budget(Bounds())).parts
            if any(
                b"eicar.zip" in header.value
                for header in part.headers
                if header.name.startswith("content-")
            )
        ]
        if not any(
            part.kind in ("leaf", "raw", "message") and part.end > part.start for part in found
        ):
            missed.append(row.path)
    assert not missed
