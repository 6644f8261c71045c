"""One pattern: what is translated, what is refused, and why.  test_patterns.py asks grep itself."""

from __future__ import annotations

import pytest

from spoolscan.scanner.bre import Invalid, Unsupported, translate


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (rb"\(a", r"Unmatched ( or \("),
        (rb"a\)", r"Unmatched ) or \)"),
        (b"[a", "Unmatched ["),
        (b"[[:alpha:]", "Unmatched ["),
        (b"[z-a]", "Invalid range end"),
        (b"[a-z-9]", "Invalid range end"),
        (b"[[:digit:]-z]", "Invalid range end"),
        (b"[+-[:digit:]]", "Invalid range end"),
        (b"[[:foo:]]", "Invalid character class name"),
        (b"[:alpha:]", "character class syntax is [[:space:]]"),
        (b"a\\", "Trailing backslash"),
        (rb"a\{1", r"Unmatched \{"),
        (rb"a\{2,1\}", r"Invalid content of \{\}"),
        (rb"a\{ 1\}", r"Invalid content of \{\}"),
        (rb"a\{32768\}", "Regular expression too big"),
        (rb"a\{" + b"9" * 10_000 + rb"\}", "Regular expression too big"),
    ],
)
def test_what_grep_refuses_is_refused_in_its_words(pattern: bytes, reason: str) -> None:
    with pytest.raises(Invalid) as refusal:
        translate(pattern)
    assert reason in str(refusal.value)


@pytest.mark.parametrize(
    ("pattern", "remedy"),
    [
        (rb"\(a\)\1", "write out the alternatives"),
        (rb"a\>*", "put the anchor into a group"),
        (rb"a\b\{2\}", "put the anchor into a group"),
        (b"a$)b", "write [$]"),
        (b"a$|b", "write [$]"),
        (b"[%---]", "write one - last"),
        (b"[[=a=]]", "write the character itself"),
        (b"[a-[.z.]]", "write the character itself"),
        (rb".*\<.*", r"write \b"),
        (rb"\(\<.\)*", r"write \b"),
        (rb"\(" * 51 + b"a" + rb"\)" * 51, "nested deeper than 50"),
        (b"a" + b"*" * 6, "more than 5 repetitions"),
    ],
)
def test_what_cannot_be_had_is_refused_with_a_remedy(pattern: bytes, remedy: str) -> None:
    with pytest.raises(Unsupported) as refusal:
        translate(pattern)
    assert remedy in str(refusal.value)


@pytest.mark.parametrize(
    "pattern", [rb"\(" * 50_000, b"a" + b"*" * 50_000, b"[" * 50_000, rb"\(a\|" * 50_000]
)
def test_no_pattern_is_deep_enough_to_exhaust_the_stack(pattern: bytes) -> None:
    with pytest.raises((Invalid, Unsupported)):
        translate(pattern)


def test_the_deepest_pattern_allowed_is_translated() -> None:
    assert translate(rb"\(a\|" * 50 + b"b" + rb"\)*****" * 50)


def test_a_set_is_written_out_and_never_holds_the_line_end() -> None:
    assert translate(b"[a-cx]") == rb"[\x61-\x63\x78-\x78]"
    assert translate(b".") == rb"[\x00-\x09\x0b-\xff]"
    assert translate(b"[^a]") == rb"[\x00-\x09\x0b-\x60\x62-\xff]"
