"""Names: whatever a client could show or save a part under is among the readings."""

from __future__ import annotations

import re
import unicodedata

import pytest
from corpus_rows import samples
from hypothesis import given
from hypothesis import strategies as st

from spoolscan.scanner import headers, mime, names
from spoolscan.scanner.bounds import Bounds, Budget
from spoolscan.scanner.names import Names
from spoolscan.verdict import Cause

DISPOSITION = b"Content-Disposition: attachment; "


def named(header: bytes, carried: bytes = b"", bounds: Bounds | None = None) -> Names:
    budget = Budget(bounds or Bounds())
    part, inner = (
        headers.read(data, 0, len(data), budget.bounds).headers for data in (header, carried)
    )
    return names.of_part(part, budget, inner)


def causes(found: Names) -> set[Cause]:
    return {doubt.cause for doubt in found.doubts}


@pytest.mark.parametrize(
    "parameter",
    [
        b"filename=a.exe",
        b'filename="a.exe"',
        b"filename='a.exe'",
        b'filename="a.exe',
        b'filename=""a.exe""',
        b'filename="a".exe',
        b'filename="a".exe"',
        b'filename="a\\".exe"',
        b'filename="a.e\\xe"',
        b"filename=a\\;.exe",
        b"filename=a;.exe",
        b"filename=a .exe",
        b"FILENAME = a.exe",
        b"\n\tfilename\n =\n a.exe",
        b"\n \n filename=a.exe",
        b'filename="a.\n exe"',
        b"name=a.exe",
        b'filename="a.txt"; filename="a.exe"',
        b"filename=a.txt\nContent-Disposition: x; filename=a.exe",
        b"filename=a.txt\nContent-Type: a/b; name=a.exe",
        b"foo=a.txt\nContent-Type: a/b; name=a.exe",
        b"filename=a.exe(.txt)",
        b"filename=(x)a.exe",
        b"filename=a.e(x)xe",
        b"file(x(y))name=a.exe",
        b"file\0name=a.exe",
        b"x, filename=a.exe",
        b"x filename=a.exe",
        b'"filename"="a.exe"',
        b"'filename'='a.exe'",
        b'filename\x0b="a.exe"',
        b"filename\xa0=a.exe",
        b';;filename="a.exe";;',
        b'filename="a.exe"junk',
        b"filename=a.exe, size=1",
        b'filename=""; filename="a.exe"',
        b'filename="a.exe/."',
        b"filename*=%61%2Eexe",
        b"filename*=utf-8''a.exe%00.txt",
        b"filename*=utf-8''a.exe%20.",
        b"filename*=utf-8''%22a.exe%22",
        b"filename**=utf-8''a.exe",
        b"filename*=ibm037''%81K%85%a7%85",
        b"filename*=utf-16le''a%00.%00e%00x%00e%00",
        b"filename*=utf-32''%00%00%00a%00%00%00.%00%00%00e%00%00%00x%00%00%00e",
        b"filename*0*=utf-8''a%2; filename*1*=Eexe",
        b"FILENAME*0*=utf-8''a.; filename*1*=exe",
        b'filename*0="=?utf-8?B?YS5l"; filename*1="eGU=?="',
        b"filename*=utf-8''a%2Eexe",
        b"filename*=utf-8'en'a%2Eexe",
        b"filename*=''a.exe",
        b"filename*=utf-8'a.exe",
        b"filename*=a.exe",
        b"filename*=\"utf-8''a.exe\"",
        b"filename*=utf-16''%00a%00.%00e%00x%00e",
        b"filename*=utf-16''a%00.%00e%00x%00e%00",
        b"filename*=no-charset''a.exe",
        b"filename*=utf-7''a+AC4-exe",
        b"filename*0*=utf-8''a%2E; filename*1=exe",
        b"filename*0=a%2E; filename*1=exe",
        b"filename*1=exe; filename*0=a.",
        b"filename*1*=''a.; filename*0*=exe",
        b"filename*0=a.; filename*2=exe",
        b"filename*1=a.; filename*2=exe",
        b"filename*00=a.; filename*01=exe",
        b"filename*0=x; filename*0=a.; filename*1=exe",
        b"filename*0=a.; filename*0=x; filename*1=exe",
        b"filename*0=a.; filename*1=exe; filename*0=b.; filename*1=txt; filename*2=x",
        b"filename*0=a.\nContent-Disposition: x; filename*1=exe",
        b'filename*0="=?utf-8?Q?a=2E?="; filename*1=exe',
        b"filename=b.txt; filename*=''a.exe",
        b"filename*=''a.exe; filename=b.txt",
        b'filename="=?utf-8?B?YS5leGU=?="',
        b"filename==?utf-8?B?YS5leGU=?=",
        b'filename="=?utf-8?B?YS5leGU"',
        b'filename="=?utf-8?B?YS5leGU?="',
        b'filename="=?utf-8?B?YS5 leGU=?="',
        b'filename="=?utf-8?Q?a=2Eexe?="',
        b'filename="=?utf-8?Q?a=2E?= =?utf-8?Q?exe?="',
        b'filename="=?utf-8?B?YS5?= =?utf-8?B?leGU=?="',
        b'filename="=?utf-8?Q?a?=.exe"',
        b'filename="=?utf-16?B?AGEALgBlAHgAZQ==?="',
        b'filename="=?utf-16?B?YQAuAGUAeABlAA==?="',
        b'filename="=?utf-8*en?Q?a=2Eexe?="',
        b'filename="=?utf-8?Q?=3D=3Futf-8=3FB=3FYS5leGU=3D=3F=3D?="',
        b"=?utf-8?Q?filename=3Da=2Eexe?=",
        b'filename="=?x-odd?Q?a=2Eexe?="',
        b"filename=\"=?'utf-8'?Q?a=2Eexe?=\"",
        b'filename="=?utf-8?Q?a=2?= =?utf-8?Q?Eexe?="',
        b'filename="=?utf-8?B?YS5leGU==?="',
        b'filename="=?utf-8?Q?a=2Eexe?"',
        b'filename="a%2Eexe"',
        b'filename="../../a.exe"',
        b'filename="C:\\temp\\a.exe"',
        b'filename="a.exe/"',
        b'filename="a.exe."',
        b'filename="a.exe . ."',
        b'filename=" a.exe\t"',
        b'filename="a.exe\0.txt"',
        b'filename="a\0.exe"',
        b'filename="a.exe::$DATA"',
        b'filename="a.txt:a.exe"',
        b'filename="a.e|xe"',
        'filename="a\u200b.e\u200dxe"'.encode(),
        'filename="a\u202e.exe"'.encode(),
        'filename="a.e\ufe0fxe"'.encode(),
        'filename="a\ufe12exe"'.encode(),
        'filename="a\uff0eexe"'.encode(),
        'filename="a\u3002exe"'.encode(),
        'filename="\uff41.\uff45\uff58\uff45"'.encode(),
        'filename="a.exe\u00a0\u3000"'.encode(),
    ],
)
def test_no_spelling_hides_the_name(parameter: bytes) -> None:
    found = named(DISPOSITION + parameter + b"\n\n")
    assert "a.exe" in [reading.replace(" ", "") for reading in found.readings]
    assert any(re.search(rb"name=.*a ?\.exe$", line) for line in found.lines)


@pytest.mark.parametrize(
    "field",
    [
        b'Content-Type: application/pdf; name="Report 2024.pdf"',
        b"Content-Disposition: attachment; filename=Report_2024.pdf; size=12",
        b'Content-Disposition: attachment; filename="Report (1).pdf"',
        b'Content-Disposition: inline; filename="a;b=c, d.pdf"',
    ],
)
def test_an_ordinary_name_has_one_reading_and_no_doubt(field: bytes) -> None:
    found = named(field + b"\n\n")
    assert len(found.readings) == 1
    assert not found.doubts


def test_the_likeliest_reading_comes_first() -> None:
    found = named(DISPOSITION + b'filename="=?utf-8?Q?M=C3=BCll.pdf?="\n\n')
    assert found.readings[0] == "Müll.pdf"


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Type: text/plain\n\n",
        b"Content-Type: text/html\nContent-Location: http://example.com/x.html\n\n",
        b"Content-Type: image/png\nContent-Location: http://example.com/\n\n",
        b"Content-Type: image/png\nContent-ID: <123@example.com>\n\n",
        b"Content-Type: text/plain\nContent-Description: setup.exe\n\n",
        b"Subject: setup.exe\n\n",
    ],
)
def test_what_no_client_saves_has_no_name(header: bytes) -> None:
    assert named(header).readings == ()


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (b"Content-Type: image/png\nContent-ID: <image1.png@01CF>\n\n", "image1.png"),
        (b"Content-Type: a/b\nContent-Location: http://example.com/x/a.exe?q\n\n", "a.exe"),
        (b"Content-Type: a/b\nContent-Description: =?utf-8?q?a=2Eexe?=\n\n", "a.exe"),
        (
            b"Content-Type: text/plain\n" + DISPOSITION + b"\nContent-Description: a.exe\n\n",
            "a.exe",
        ),
    ],
)
def test_other_fields_name_a_part_that_has_no_name(header: bytes, name: str) -> None:
    assert named(header).readings[0] == name


def test_a_carried_message_is_saved_under_its_subject() -> None:
    found = named(b"Content-Type: message/rfc822\n\n", b"Subject: hello\n\n")
    assert found.readings == ("hello.eml",)


def test_lines_hold_both_spellings_of_a_name_its_case_the_types_and_the_fields() -> None:
    header = b"Content-Type: Application/X-Foo;\n name=A.EXE\n\n"
    assert named(header).lines == (
        b"filename=A.EXE",
        b'filename="A.EXE"',
        b"filename=a.exe",
        b'filename="a.exe"',
        b"content-type: application/x-foo",
        b"Content-Type: Application/X-Foo; name=A.EXE",
    )


@pytest.mark.parametrize(
    ("header", "cause"),
    [
        (DISPOSITION + b"filename=a.txt; filename=a.exe\n\n", Cause.AMBIGUOUS),
        (DISPOSITION + b"filename=a.txt\nContent-Type: a/b; name=a.exe\n\n", Cause.AMBIGUOUS),
        (DISPOSITION + 'filename="a\u202etxt.exe"'.encode() + b"\n\n", Cause.DECEPTIVE),
    ],
)
def test_a_name_that_may_be_another_is_doubted(header: bytes, cause: Cause) -> None:
    assert cause in causes(named(header))


@pytest.mark.parametrize(
    "parameter",
    [
        b'filename="' + b"a" * 3000 + b'.exe"',
        b"filename=" + b"a b" * 3000 + b".exe",
        b"filename=a;" * 300,
        b"filename=" * 300,
    ],
)
def test_names_too_long_or_too_many_are_said(parameter: bytes) -> None:
    assert Cause.LIMIT in causes(named(DISPOSITION + parameter + b"\n\n"))


def test_the_end_of_a_long_name_is_read() -> None:
    found = named(DISPOSITION + b'filename="' + b"a" * 3000 + b'.exe"\n\n')
    assert any(line.endswith(b".exe") for line in found.lines)
    assert all(len(line) < 5000 for line in found.lines)


@pytest.mark.parametrize(
    "name", ["dir/a.exe", b"dir\\a.exe", b"=?utf-8?B?YS5leGU=?=", "a.exe::$DATA"]
)
def test_a_member_of_an_archive_is_named_the_same_way(name: str | bytes) -> None:
    assert b"filename=a.exe" in names.of_member(name, Budget(Bounds())).lines


def test_no_charset_runs_a_codec_that_is_none() -> None:
    for charset in (b"zlib", b"idna", b"punycode", b"rot13", b"../x", b"\xff"):
        found = named(DISPOSITION + b"filename*=" + charset + b"''a.exe\n\n")
        assert "a.exe" in found.readings


PIECES = (
    b"filename", b"name", b"=", b"*", b"0", b"1", b'"', b"'", b"\\", b";", b"(", b")", b" ", b"\0",
    b"=?utf-8?B?", b"=?utf-16?Q?", b"=?utf-7?q?", b"?=", b"%00", b"%FF", b"\xff", b"a.exe", b":",
    b"/", b"utf-16''", b"\xe2\x80\xae", b"\r", b",", b"\t", b"hz''", b"=?iso-2022-kr?B?", b"GyQ",
)  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join))
def test_any_mixture_of_the_grammar_gives_clean_lines(value: bytes) -> None:
    found = named(DISPOSITION + value + b"\n\n")
    assert all(found.readings)
    assert len(set(found.readings)) == len(found.readings)
    assert not any(b"\n" in line or b"\r" in line for line in found.lines)


@given(st.text(max_size=50))
def test_any_member_name_gives_clean_lines(name: str) -> None:
    found = names.of_member(name, Budget(Bounds()))
    assert not any(b"\n" in line or b"\r" in line for line in found.lines)


@pytest.mark.corpus
def test_names_that_most_parsers_see_in_the_corpus_are_found() -> None:
    missed = []
    for row, data in samples("evasion"):
        if row.path.endswith("1652908061.4bI1.eml"):
            continue  # that one holds its only name in yEnc
        budget = Budget(Bounds())
        readings = {
            unicodedata.normalize("NFC", reading)
            for part in mime.read(data, budget).parts
            for reading in names.of_part(part.headers, budget).readings
        }
        expected = row.own.get("names") or []
        missed += [(row.path, name) for name in expected if name not in readings]
    assert not missed


def test_every_character_that_cannot_be_seen_is_known() -> None:
    unseen = [
        chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in ("Cc", "Cf")
    ]
    assert len(unseen) > 200
    for letter in unseen:
        found = names.of_member(f"a.e{letter}xe", Budget(Bounds()))
        assert "a.exe" in found.readings, hex(ord(letter))


def test_a_message_whose_names_have_too_many_readings_says_so_and_goes_on() -> None:
    budget = Budget(Bounds(header_bytes=10_000))
    header = DISPOSITION + b'filename="' + b"=?utf-16?B?AGEALgBlAHgAZQ==?= x" * 50 + b'"\n\n'
    part = headers.read(header, 0, len(header), budget.bounds).headers
    found = [names.of_part(part, budget) for _ in range(30)][-1]
    assert Cause.LIMIT in causes(found)
    assert any(line.startswith(b"Content-Disposition") for line in found.lines)
