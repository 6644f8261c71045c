"""What is encrypted is opened with the words of its message or of the site, or is a doubt."""

from __future__ import annotations

import base64
import io
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from spoolscan.cli.specimens import NAME, PAYLOAD, zipped
from spoolscan.config import Config
from spoolscan.scanner.bounds import Bounds, Budget
from spoolscan.scanner.inspect import Tools, inspect
from spoolscan.scanner.passwordfile import PasswordFile
from spoolscan.scanner.passwords import MESSAGE, SITE, Key, Keys
from spoolscan.scanner.patterns import Patterns
from spoolscan.scanner.toolbox import Toolbox
from spoolscan.scanner.unpack import Member, library, unpack
from spoolscan.scanner.unpack.listed import SEVEN_ZIP
from spoolscan.verdict import Cause, Doubt, Report, Verdict

SECRET = "S3cret!x"
needs_tools = pytest.mark.skipif(
    library.missing() is not None or SEVEN_ZIP.missing() is not None,
    reason="needs libarchive.so.13, 7zz and bubblewrap",
)
PACKERS = {
    "7z": ("7zz", "a", f"-p{SECRET}", "packed.x", NAME),
    "7z with its names": ("7zz", "a", f"-p{SECRET}", "-mhe", "packed.x", NAME),
    "zip, the old way": ("7zz", "a", "-tzip", f"-p{SECRET}", "packed.x", NAME),
    "zip, AES 256": ("7zz", "a", "-tzip", f"-p{SECRET}", "-mem=AES256", "packed.x", NAME),
    "zip, AES 128, stored": (
        *("7zz", "a", "-tzip", f"-p{SECRET}", "-mem=AES128", "-mx0", "packed.x", NAME),
    ),
    "zip, AES 192, LZMA": (
        *("7zz", "a", "-tzip", f"-p{SECRET}", "-mem=AES192", "-mm=LZMA", "packed.x", NAME),
    ),
    "zip by Info-ZIP": ("zip", "-q", "-P", SECRET, "packed.x", NAME),
}


def packed(folder: Path, how: str) -> bytes:
    argv = PACKERS[how]
    if shutil.which(argv[0]) is None:
        pytest.skip(f"needs {argv[0]}")
    (folder / NAME).write_bytes(PAYLOAD)
    subprocess.run(argv, cwd=folder, capture_output=True, check=True)
    (made,) = folder.glob("packed*")
    return made.read_bytes()


def tried(*texts: str, site: tuple[str, ...] = (), most: int = 100) -> list[Key]:
    keys = Keys(site, most, seconds=60)
    for text in texts:
        keys.hear(text)
    return list(keys.tries())


def found_in(data: bytes, keys: Keys) -> list[Member | Doubt]:
    return list(unpack(data, Budget(Bounds(), keys=keys)))


# --- which words


@pytest.mark.parametrize(
    "text",
    [
        f"Password: {SECRET}",
        f"the password is {SECRET}.",
        f"PASSWORT lautet: {SECRET}, viele Gruesse",
        f"Le mot de passe est \u00ab{SECRET}\u00bb",
        f"Das Kennwort f\u00fcr die Datei ist \u201e{SECRET}\u201c.",
        f"pw={SECRET}",
        f"<p>Password:</p> <b>{SECRET}</b>",
        f"пароль - {SECRET}",
    ],
)
def test_the_word_that_is_said_to_be_the_password_is_among_the_first(text: str) -> None:
    before = "Dear all, many words come first. " * 20
    assert Key(SECRET, MESSAGE) in tried(f"{before}{text} {before}", most=6)


def test_any_word_may_be_it_with_and_without_the_marks_around_it() -> None:
    words = {key.word for key in tried("see (a-b) and x!")}
    assert {"a-b", "(a-b)", "x", "x!", "see"} <= words


def test_words_in_quotes_may_hold_blanks() -> None:
    assert Key("two words", MESSAGE) in tried('it is "two words", you know', most=2)


def test_the_sites_words_come_behind_what_is_said_and_before_the_rest() -> None:
    words = [key.word for key in tried("hello, password: x9", site=("infected",))]
    assert words.index("x9") < words.index("infected") < words.index("hello")


def test_no_word_is_tried_twice_and_all_together_no_more_often_than_bounded() -> None:
    keys = Keys(("one", "two", "one"), most=3, seconds=60)
    assert [key.word for key in keys.tries()] == ["one", "two"]
    assert [key.word for key in keys.tries()] == ["one"]
    assert list(keys.tries()) == []


def test_what_opened_one_member_is_tried_first_on_the_next() -> None:
    keys = Keys(("one", "two"), most=9, seconds=60)
    keys.opened(Key("two", SITE))
    assert [key.word for key in keys.tries()] == ["two", "one"]


def test_no_word_is_tried_once_the_time_is_used_up() -> None:
    assert list(Keys(("one",), most=9, seconds=0).tries()) == []


def test_the_file_of_passwords_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    file = PasswordFile(path)
    assert file.current() == ()
    path.write_bytes(b"# a comment\n\none\n two words\r\n#no comment\none\n")
    assert file.current() == ("one", " two words", "#no comment")
    path.unlink()
    assert file.current() == ()


# --- what they open


@needs_tools
@pytest.mark.parametrize("how", PACKERS)
def test_a_password_opens_what_it_encrypted(tmp_path: Path, how: str) -> None:
    keys = Keys(("wrong", SECRET), most=50, seconds=60)
    found = found_in(packed(tmp_path, how), keys)
    assert Member(NAME, PAYLOAD) in found
    assert {item.cause for item in found if isinstance(item, Doubt)} == {Cause.UNLOCKED}
    assert not any(SECRET in str(item) for item in found if isinstance(item, Doubt))


@needs_tools
@pytest.mark.parametrize("how", PACKERS)
def test_without_its_password_it_is_named_and_a_doubt(tmp_path: Path, how: str) -> None:
    found = found_in(packed(tmp_path, how), Keys(("wrong", "-p"), most=50, seconds=60))
    assert {item.cause for item in found if isinstance(item, Doubt)} == {Cause.ENCRYPTED}
    members = {item for item in found if isinstance(item, Member)}
    assert members <= {Member(NAME, b"", opened=False)}
    assert members or how == "7z with its names"


# --- in a message


def letter(archive: bytes, text: bytes, subject: bytes = b"hello") -> bytes:
    return (
        b"From: a@example.org\r\nSubject: " + subject + b"\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(archive).replace(b"\n", b"\r\n")
        + b"--b\r\nContent-Type: text/plain\r\n\r\n" + text + b"\r\n--b--\r\n"
    )  # fmt: skip


def judged(mail: bytes, **settings: object) -> Report:
    none = Patterns.parse(b"", "matches.bad")
    defaults = {"bad": none, "doc": none, "engines": (), "remarks": frozenset({Cause.UNLOCKED})}
    return inspect(mail, Tools(**{**defaults, **settings})).report  # type: ignore[arg-type]  # as the fields


@needs_tools
@pytest.mark.parametrize(
    ("text", "subject", "site"),
    [
        (f"it opens with {SECRET}".encode(), b"hello", ()),
        (b"good day", f"your file ({SECRET})".encode(), ()),
        (b"good day", b"=?utf-8?b?" + base64.b64encode(SECRET.encode()) + b"?=", ()),
        (b"good day", b"hello", (SECRET,)),
    ],
    ids=["text", "subject", "encoded subject", "list"],
)
def test_a_message_tells_its_own_password(
    tmp_path: Path, text: bytes, subject: bytes, site: tuple[str, ...]
) -> None:
    archive = packed(tmp_path, "zip, AES 256")
    report = judged(letter(archive, text, subject), passwords=site)
    assert report.verdict is Verdict.CLEAN
    (finding,) = report.findings
    assert finding.name.startswith("unlocked: zip member was encrypted; the ")
    assert SECRET not in finding.name
    assert [part.size for part in report.parts if part.names == (NAME,)] == [len(PAYLOAD)]


@needs_tools
def test_what_a_password_opens_is_judged_as_any_other(tmp_path: Path) -> None:
    bad = Patterns.parse(b"name=.*\\.exe$\n", "matches.bad")
    mail = letter(packed(tmp_path, "7z with its names"), SECRET.encode())
    assert judged(mail, bad=bad).verdict is Verdict.BANNED


@needs_tools
def test_what_stays_closed_has_neither_size_nor_digest(tmp_path: Path) -> None:
    report = judged(letter(packed(tmp_path, "zip, AES 256"), b"good day"))
    assert report.verdict is Verdict.UNSCANNABLE
    (part,) = [part for part in report.parts if part.names == (NAME,)]
    assert (part.size, part.sha256) == (None, None)


@needs_tools
def test_the_list_is_read_from_where_the_settings_say(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for name in ("matches.bad", "matches.doc"):
        (tmp_path / "etc" / name).write_bytes(b"")
    (tmp_path / "words").write_text(SECRET + "\n")
    (tmp_path / "etc" / "one.yar").write_text("rule one { condition: false }")
    settings = {"scanner": {"passwords": "words"}, "engine": [{"kind": "yara", "rules": "etc"}]}
    toolbox = Toolbox(Config(root=tmp_path, **settings))  # type: ignore[arg-type]  # as from TOML
    assert toolbox.tools().passwords == (SECRET,)
    (tmp_path / "words").write_text("another\n")
    assert toolbox.tools().passwords == ("another",)


# --- documents


def office(word: str) -> bytes:
    """A document encrypted as Office 2010 and later do."""
    pytest.importorskip("msoffcrypto")
    from msoffcrypto.format.ooxml import OOXMLFile  # noqa: PLC0415  # need not be installed

    out = io.BytesIO()
    types = b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
    files = ("[Content_Types].xml", types), (NAME, PAYLOAD), ("picture", os.urandom(9999))
    document = zipped(*files)  # of more than 4096 bytes: its packer errs on smaller ones
    OOXMLFile(io.BytesIO(document)).encrypt(word, out)
    return out.getvalue()


def test_an_office_document_is_opened_by_its_password() -> None:
    data = office(SECRET)
    assert [item.cause for item in found_in(data, Keys()) if isinstance(item, Doubt)] == [
        Cause.ENCRYPTED
    ]
    report = judged(letter(data, f"Password: {SECRET}".encode()))
    assert report.verdict is Verdict.CLEAN
    assert (NAME,) in [part.names for part in report.parts]


def test_an_office_document_without_a_real_password_is_opened_by_the_one_that_office_takes() -> (
    None
):
    found = found_in(office("VelvetSweatshop"), Keys())
    assert [item.cause for item in found if isinstance(item, Doubt)] == [Cause.UNLOCKED]
    assert any(isinstance(item, Member) and item.data.startswith(b"PK") for item in found)
