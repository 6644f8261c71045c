"""Pattern files mean what grep makes of them, or are refused with file, line and remedy."""

from __future__ import annotations

import random
from dataclasses import FrozenInstanceError
from pathlib import Path

import grepfuzz
import pytest

from spoolscan.errors import ConfigError
from spoolscan.scanner.patterns import Match, Patterns

ETC = Path(__file__).parent.parent / "etc"
needs_grep = pytest.mark.skipif(
    not grepfuzz.is_gnu(),
    reason="GNU grep is not installed; apt-get install grep",
)


def parsed(text: bytes) -> Patterns:
    return Patterns.parse(text, "matches.bad")


def shipped(name: str) -> Patterns:
    return Patterns.parse((ETC / name).read_bytes(), name)


# --- Matching --------------------------------------------------------------------------------


def test_the_first_pattern_of_the_file_decides_and_not_the_first_line() -> None:
    patterns = parsed(b"name=.*\\.exe$\nname=.*\\.scr$\nname=.*\n")
    lines = [b"filename=a.txt", b"filename=b.scr", b"filename=c.exe"]
    assert patterns.first(lines) == Match("matches.bad", 1, r"name=.*\.exe$")
    assert patterns.first(lines[:2]) == Match("matches.bad", 2, r"name=.*\.scr$")
    assert patterns.first(lines[:1]) == Match("matches.bad", 3, "name=.*")


def test_no_line_matches_nothing_and_an_empty_line_is_a_line() -> None:
    patterns = parsed(b"^$\n")
    assert patterns.first([]) is None
    assert patterns.first([b"a", b""]) == Match("matches.bad", 1, "^$")


def test_an_empty_file_has_no_patterns_and_matches_nothing() -> None:
    assert parsed(b"").rules == ()
    assert parsed(b"").first([b"", b"anything"]) is None


def test_a_file_may_lack_its_last_line_end() -> None:
    assert parsed(b"a\nb") == parsed(b"a\nb\n")


def test_a_line_feed_inside_a_line_ends_it_as_it_does_for_grep() -> None:
    assert parsed(b"a.b\n").first([b"a\nb"]) is None
    assert parsed(b"^b$\n").first([b"a\nb"]) is not None


def test_a_comment_is_a_pattern_as_it_is_for_grep() -> None:
    assert parsed(b"# executables\n").first([b"x # executables y"]) is not None


def test_bytes_are_bytes_whatever_they_spell() -> None:
    patterns = parsed("name=.*ü$\n".encode())
    assert patterns.first(["name=ü".encode()]) == Match("matches.bad", 1, r"name=.*\xc3\xbc$")
    assert patterns.first(["name=ü".encode("latin-1")]) is None
    assert parsed(b"^[^\xff]$\n").first([b"\xfe"]) is not None


def test_patterns_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        parsed(b"a\n").source = "b"  # type: ignore[misc]


@pytest.mark.parametrize("unit", [b"name=", b".e", b"name=.exe.co", b"\x00\xff", b" ", b".{0"])
def test_shipped_patterns_read_a_mebibyte_of_a_hostile_name(unit: bytes) -> None:
    line = b"filename=" + unit * ((1 << 20) // len(unit))
    assert shipped("matches.bad").first([line]) is None
    hit = shipped("matches.bad").first([line + b".exe", b"filename=" + unit + b".exe"])
    assert hit == Match("matches.bad", 1, r"name=.*\.exe$")


def test_patterns_made_to_explode_are_read_to_the_end() -> None:
    patterns = parsed(b"\\(x\\+x\\+\\)\\+y\n\\(a*\\)*b\n[ab]*a[ab]\\{200\\}c\n")
    chance = random.Random(0)  # noqa: S311 - repeatable, not secret
    assert patterns.first([b"x" * 100_000, bytes(chance.choices(b"a!", k=100_000))]) is None


# --- Refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        (b"", "blank line would match every mail; remove it"),
        (b" \t", "blank line would match every mail; remove it"),
        (b"name=.*\\.exe$\r", "carriage return, never found; end lines with LF alone"),
        (b"name=\0", "NUL; this is not a text file"),
        (b"name=.*\\.exe$ ", "remove it, or write [ ]"),
        (b"\\(a\\)\\1", "back-reference \\1"),
        (b"[b-a]", "Invalid range end"),
        (b"a\\{1001\\}", "too large for the matcher"),
        (b"\\(\\(a\\{100\\}\\)\\{100\\}\\)", "too large for the matcher"),
    ],
)
def test_a_refusal_says_file_line_pattern_and_remedy(line: bytes, remedy: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parsed(b"good\n" + line + b"\nname=.*\n")
    assert str(refusal.value).startswith('matches.bad, line 2, "')
    assert remedy in str(refusal.value)


def test_a_blank_line_at_the_end_is_a_blank_line() -> None:
    with pytest.raises(ConfigError, match="line 2"):
        parsed(b"a\n\n")


def test_a_byte_order_mark_is_refused_for_it_would_spoil_the_first_pattern() -> None:
    with pytest.raises(ConfigError, match="byte order mark; save the file without it"):
        parsed("name=.*\n".encode("utf-8-sig"))


def test_a_refusal_holds_nothing_a_terminal_would_obey() -> None:
    with pytest.raises(ConfigError) as refusal:
        parsed(b"\x1b]0;owned\x07\xff\\(" + b"a" * 10_000 + b"\n")
    assert str(refusal.value).isascii()
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 400


def test_too_much_for_the_matcher_together_is_refused() -> None:
    with pytest.raises(ConfigError, match="too large for the matcher together"):
        parsed(b"".join(b"%d" % number + b"[^a]\\{900\\}b" * 10 + b"\n" for number in range(200)))


# --- Grep is the standard --------------------------------------------------------------------


@needs_grep
def test_adversarial_patterns_mean_what_they_mean_to_grep() -> None:
    chance = random.Random(1)  # noqa: S311 - repeatable, not secret
    lines = [grepfuzz.line(chance) for _ in range(500)]
    tally = grepfuzz.compare(grepfuzz.ADVERSARIAL, lines, chance)
    assert tally.disagreements == []
    assert tally.translated > 100


@needs_grep
@pytest.mark.parametrize("seed", range(4))
def test_random_patterns_mean_what_they_mean_to_grep(seed: int) -> None:
    tally = grepfuzz.rounds(1000, seed)
    assert tally.disagreements == []
    assert tally.translated > 4 * sum(tally.unsupported.values())  # it does not pass by refusing


# --- The files shipped -----------------------------------------------------------------------


def canonical(*names: str) -> list[bytes]:
    """As names.py writes them."""
    return [line.encode() for name in names for line in (f"filename={name}", f'filename="{name}"')]


BANNED = [
    *["invoice.exe", "report.pdf.exe", "photo.jpg                              .scr", "a.com"],
    *["a@b.com", "run.bat", "x.js", "x.jse", "x.vbs", "x.wsf", "x.hta", "x.ps1", "x.lnk", "x.url"],
    *["x.iso", "x.img", "x.vhd", "x.vhdx", "x.one", "x.xll", "x.msi", "x.jar", "x.chm", "x.reg"],
    *["x.library-ms", "x.search-ms", "x.settingcontent-ms", "x.appref-ms", "x.diagcab", "x.rdp"],
    *["x.{00020d75-0000-0000-c000-000000000046}", "x.xlam", "x.ppam", "x.cpl", "x.pif", "x.wsc"],
]
ORDINARY = [
    *["report.pdf", "notes.txt", "photo.jpeg", "letter.docx", "sheet.xlsx", "archive.zip"],
    *["exe", "execution.txt", "my.exe.txt", "song.mp3", "film.mp4", "smime.p7s", "key.asc"],
    *["invite.ics", "data.json", "data.mat", "commit.patch", "main.c", "style.css", "example.org"],
]
DECODED = [
    *["letter.doc", "sheet.xlsm", "slides.ppt", "report.pdf", "letter.rtf", "page.html", "i.svg"],
    *["page.shtml", "page.xhtml", "a.zip", "a.7z", "a.rar", "a.r00", "a.7z.001", "a.part1.rar"],
    *["a.tar.gz", "a.gz", "mail.eml", "mail.msg", "winmail.dat", "smime.p7m", "a.cab", "a.ace"],
]


@pytest.mark.parametrize("name", BANNED)
def test_what_runs_on_a_double_click_is_banned(name: str) -> None:
    assert shipped("matches.bad").first(canonical(name)) is not None


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_names_are_not_banned(name: str) -> None:
    assert shipped("matches.bad").first(canonical(name)) is None


def test_a_host_name_in_a_raw_header_is_no_program() -> None:
    lines = [b"X-Sender: name=bob@example.com", b"Content-ID: <image001.png@example.com>"]
    assert shipped("matches.bad").first(lines) is None


@pytest.mark.parametrize("name", DECODED)
def test_what_may_hold_a_program_is_decoded_and_not_banned(name: str) -> None:
    assert shipped("matches.doc").first(canonical(name)) is not None
    assert shipped("matches.bad").first(canonical(name)) is None


def test_media_types_are_decoded_whatever_the_name() -> None:
    patterns = shipped("matches.doc")
    for kind in (
        b"application/ms-tnef",
        b"text/html",
        b"application/vnd.ms-excel",
        b"image/svg+xml",
    ):
        assert patterns.first([b"filename=photo.jpg", b"content-type: " + kind]) is not None
    assert patterns.first([b"content-type: text/plain", b"content-type: image/png"]) is None


@pytest.mark.parametrize("name", ["matches.bad", "matches.doc"])
def test_no_shipped_line_stands_twice(name: str) -> None:
    rules = [rule.pattern for rule in shipped(name).rules]
    assert sorted(set(rules)) == sorted(rules)


@needs_grep
@pytest.mark.parametrize("name", ["matches.bad", "matches.doc"])
def test_grep_itself_selects_the_same_lines_with_the_shipped_files(name: str) -> None:
    lines = canonical(*BANNED, *ORDINARY, *DECODED)
    lines += [b"content-type: application/ms-tnef", b"content-type: text/plain", b"", b"X: y"]
    patterns = shipped(name)
    ours = [line for line in lines if patterns.first([line])]
    theirs = grepfuzz.grep((ETC / name).read_bytes(), b"".join(line + b"\n" for line in lines))
    assert theirs == b"".join(line + b"\n" for line in ours)
    assert 0 < len(ours) < len(lines)
