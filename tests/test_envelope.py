"""The envelope at the head of a spool file: what is written is read back, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from builders import envelope
from hypothesis import given
from hypothesis import strategies as st

from spoolscan.envelope import (
    _KNOWN,
    HEAD_LIMIT,
    SENT,
    SIZE_OFFSET,
    Envelope,
    Recipient,
    ScanMark,
    from_xtext,
    parse,
    size_field,
    xtext,
)
from spoolscan.errors import Corrupt

ID = "20261121t053000z-d6m01v"

# Whatever bytes a peer sent, decoded as the receiver may decode them.
hostile = st.one_of(
    st.binary(max_size=40).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
    st.binary(max_size=40).map(lambda raw: raw.decode("latin-1")),
    st.sampled_from(["", "-", "+", "+41", ">", "<>", "a b", "\nRCPT <evil@x>", "\nBODY\n", "\r\n"]),
)
extras = st.lists(
    st.tuples(
        st.from_regex(r"[A-Z][A-Z0-9]{3}", fullmatch=True).filter(lambda tag: tag not in _KNOWN),
        st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20),
    ),
    max_size=3,
).map(tuple)
recipients = st.lists(
    st.builds(Recipient, hostile, st.sampled_from(["RCPT", "SENT", "FAIL"]), extras),
    min_size=1,
    max_size=4,
).map(tuple)
envelopes = st.builds(
    Envelope,
    sender=hostile,
    recipients=recipients,
    peer_address=hostile,
    peer_name=hostile,
    helo=hostile,
    protocol=hostile,
    arrived=st.datetimes(datetime(1970, 1, 1), datetime(2999, 1, 1)).map(  # noqa: DTZ001 - made UTC here
        lambda time: time.replace(microsecond=0, tzinfo=UTC)
    ),
    scan=st.builds(
        ScanMark,
        st.sampled_from(["-", "clean", "unscannable", "banned", "infected", "released"]),
        st.integers(0, 999_999),
    ),
    extras=extras,
)


def test_an_envelope_is_written_as_the_design_shows_it() -> None:
    block = envelope(
        to=("bob@example.com", "carol@example.com"),
        peer_name="mail.example.org",
        arrived=datetime(2026, 11, 21, 5, 30, tzinfo=UTC),
    ).encode(ID, 48213)
    assert block == (
        b"SPOOL 1 20261121t053000z-d6m01v\n"
        b"SIZE 000000048213\n"
        b"SCAN -                               \n"
        b"DATE 2026-11-21T05:30:00Z\n"
        b"PEER 192.0.2.7 mail.example.org\n"
        b"HELO mail.example.org\n"
        b"PROT ESMTP\n"
        b"FROM <alice@example.org>\n"
        b"RCPT <bob@example.com>\n"
        b"RCPT <carol@example.com>\n"
        b"BODY\n"
    )


@given(envelopes, st.integers(0, 10**12 - 1), st.binary(max_size=60))
def test_every_envelope_is_read_back_as_it_was(written: Envelope, size: int, body: bytes) -> None:
    block = written.encode(ID, size)
    head = parse(block + body)
    assert (head.envelope, head.queue_id, head.size) == (written, ID, size)
    assert head.body_offset == len(block)


@given(envelopes)
def test_no_value_makes_a_line(written: Envelope) -> None:
    tags = [line[:4] for line in written.encode(ID, 0).decode("ascii").split("\n")]
    expected = ["SPOO", "SIZE", "SCAN", "DATE", "PEER", "HELO", "PROT"]
    expected += [tag for tag, _ in written.extras] + ["FROM"]
    for recipient in written.recipients:
        expected += [recipient.state, *(tag for tag, _ in recipient.extras)]
    assert tags == [*expected, "BODY", ""]


@given(envelopes)
def test_the_places_that_change_are_where_the_head_says(written: Envelope) -> None:
    block = bytearray(written.encode(ID, 7))
    head = parse(bytes(block))
    mark = ScanMark("unscannable", 999_999)
    for offset in head.recipient_offsets:
        block[offset : offset + 4] = SENT.encode()
    block[head.scan_offset : head.scan_offset + len(str(mark))] = str(mark).encode()
    block[SIZE_OFFSET : SIZE_OFFSET + 12] = size_field(123)
    changed = parse(bytes(block))
    done = tuple(replace(one, state=SENT) for one in written.recipients)
    assert changed.envelope == replace(written, recipients=done, scan=mark)
    assert (changed.size, changed.body_offset) == (123, head.body_offset)


def test_every_torn_prefix_is_corrupt() -> None:
    block = envelope(to=("bob@example.com", "carol@example.com")).encode(ID, 0)
    for length in range(len(block)):
        with pytest.raises(Corrupt):
            parse(block[:length])


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_byte_is_corrupt_or_another_envelope_of_the_same_form(
    place: int, byte: int
) -> None:
    block = bytearray(envelope(extras=(("XFOO", "bar"),)).encode(ID, 5))
    block[place % len(block)] = byte
    try:
        head = parse(bytes(block))
    except Corrupt:
        return
    again = head.envelope.encode(head.queue_id, head.size)
    assert parse(again).envelope == head.envelope


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        (b"SPOOL 1 ", b"SPOOL 2 "),
        (b"SPOOL 1 20261121", b"SPOOL 1 ../21121"),
        (b"SIZE 000000000005", b"SIZE 5"),
        (b"SIZE 000000000005", b"SIZE -00000000005"),
        (b"SCAN - ", b"SCAN x "),
        (b"DATE 2026-11-21", b"DATE 2026-13-21"),
        (b"PEER 192.0.2.7 -", b"PEER 192.0.2.7"),
        (b"HELO mail", b"HELO \x07ail"),
        (b"HELO mail", b"HELO +zzil"),
        (b"HELO mail", b"HELO +41il"),
        (b"HELO mail", b"HELO mail\r"),
        (b"PROT ESMTP\n", b""),
        (b"PROT ESMTP\n", b"PROT ESMTP\nXFOO\n"),
        (b"PROT ESMTP\n", b"PROT ESMTP\nxfoo bar\n"),
        (b"FROM <alice@example.org>", b"FROM alice@example.org"),
        (b"RCPT <bob@example.com>", b"RCPT bob@example.com"),
        (b"RCPT <bob@example.com>\n", b""),
        (b"RCPT <bob@example.com>\n", b"RCPT <bob@example.com>\nFROM <x>\n"),
        (b"RCPT <bob@example.com>\n", b"RCPT <bob@example.com>\n\n"),
        (b"RCPT <bob", b"RCPT <b\xc3\xb6b"),
    ],
)
def test_what_is_not_of_the_form_is_corrupt(line: bytes, instead: bytes) -> None:
    block = envelope(arrived=datetime(2026, 11, 21, tzinfo=UTC)).encode(ID, 5)
    assert line in block
    with pytest.raises(Corrupt, match="envelope"):
        parse(block.replace(line, instead, 1))


@pytest.mark.parametrize(
    "extra",
    [("RCPT", "<evil@x>"), ("BODY", ""), ("XFOO", "a\nb"), ("xfoo", "a"), ("XFOO", "\xe9")],
)
def test_an_extra_line_that_would_be_read_as_another_is_refused(extra: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="not an envelope line"):
        envelope(extras=(extra,)).encode(ID, 0)


def test_an_envelope_too_long_to_be_read_back_is_refused_before_it_is_acknowledged() -> None:
    with pytest.raises(ValueError, match="allowed"):
        envelope(sender="a" * HEAD_LIMIT).encode(ID, 0)


@pytest.mark.parametrize(("result", "tries"), [("fine", 0), ("-", 1_000_000), ("x" * 40, 1)])
def test_a_scan_mark_that_would_not_fit_its_line_cannot_be_made(result: str, tries: int) -> None:
    with pytest.raises(ValueError, match="SCAN"):
        ScanMark(result, tries)


@given(st.binary())
def test_xtext_is_one_printable_word_and_comes_back(raw: bytes) -> None:
    value = raw.decode("utf-8", "surrogateescape")
    quoted = xtext(value)
    assert all("!" <= char <= "~" and char != "=" for char in quoted)
    assert from_xtext(quoted) == value
