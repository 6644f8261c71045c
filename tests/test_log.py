"""The log: one line an event, and nothing in it that a terminal or a reader of logs obeys."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoolscan import log

HOSTILE = [
    "\x1b]0;owned\x07\x1b[2J",
    "a\r\nspoolscan/smtpd[1]: -: forged=yes",
    "\u202egpj.exe",
    "\u2028line",
    "<script>alert(1)</script>",
    "{{ 7*7 }}",
    'say "yes" x=1',
    "back\\slash",
    "\ud800",
    "\x00",
    "a" * 4096,
    "\U0001f600" * 4096,
]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What goes to standard error, as after `log.setup`."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    root = logging.getLogger("spoolscan")
    before = (root.handlers[:], root.level, root.propagate)
    log.setup("smtpd")
    yield stream
    root.handlers[:], root.level, root.propagate = before


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("alice@example.org", "alice@example.org"),
        (42, "42"),
        ("", '""'),
        ("two words", '"two words"'),
        ('a"b', r'"a\x22b"'),
        ("a\\b", r'"a\\b"'),
        ("caf\u00e9", r'"caf\xe9"'),
        ("a\r\nb", r'"a\r\nb"'),
        ("\x1b[2J", r'"\x1b[2J"'),
        ("\u202e", r'"\u202e"'),
    ],
)
def test_a_value_is_one_word_or_quoted_and_escaped(value: object, quoted: str) -> None:
    assert log.quote(value) == quoted


@given(st.one_of(st.text(), st.text(st.characters()), st.sampled_from(HOSTILE)))
def test_every_value_is_printable_ascii_and_cannot_end_its_own_quotes(value: str) -> None:
    quoted = log.quote(value)
    assert all(" " <= char <= "~" for char in quoted)
    if quoted.startswith('"'):
        assert quoted.endswith('"')
        assert '"' not in quoted[1:-1]
    else:
        assert " " not in quoted
        assert quoted


@given(st.text())
def test_what_was_not_cut_can_be_told_from_its_quoted_form(value: str) -> None:
    quoted = log.quote(value)
    if len(value) <= 200:
        bare = quoted[1:-1] if quoted.startswith('"') else quoted
        assert bare.encode("ascii").decode("unicode_escape") == value


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_stays_within_its_line(value: str, lines: io.StringIO) -> None:
    log.event("smtpd", "20261121t053000z-d6m01v", helo=value, size=5)
    (line,) = lines.getvalue().splitlines()
    assert line.isascii()
    assert line.isprintable()
    assert line.count("20261121t053000z-d6m01v: helo=") == 1
    assert line.endswith(" size=5")
    assert len(line) < 2200  # 200 characters, each at most ten when escaped


def test_a_line_says_stage_process_queue_id_and_values(lines: io.StringIO) -> None:
    log.event("smtpd", event="started", at="127.0.0.1:25")
    assert lines.getvalue().startswith("spoolscan/smtpd[")
    assert lines.getvalue().endswith("]: -: event=started at=127.0.0.1:25\n")


def test_events_below_the_level_are_not_written(lines: io.StringIO) -> None:
    log.event("smtpd", "-", logging.DEBUG, event="quiet")
    assert lines.getvalue() == ""


def test_a_second_setup_does_not_write_lines_twice(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", lines)
    log.setup("smtpd")
    log.event("smtpd", event="once")
    assert lines.getvalue().count("once") == 1


@given(st.text() | st.sampled_from(HOSTILE))
def test_a_safe_value_is_one_line_of_printable_characters(value: str) -> None:
    shown = log.safe(value)
    assert shown.isprintable()
    assert len(shown) <= 200 * 10
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")


def test_what_is_printable_and_short_is_safe_as_it_is() -> None:
    assert log.safe("caf\u00e9 <b> {{ x }}") == "caf\u00e9 <b> {{ x }}"
    assert log.safe("\u202ea\x1b\n") == "\\u202ea\\x1b\\n"
    assert log.safe("a" * 201) == "a" * 197 + "..."
