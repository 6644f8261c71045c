"""Transfer encodings: one reading of what is well formed, every reading of what is not."""

from __future__ import annotations

import base64
import binascii
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoolscan.cli.specimens import NAME, PAYLOAD, binhexed, uuencoded, yencoded
from spoolscan.scanner import decode
from spoolscan.scanner.bounds import Bounds, Budget, LimitReached
from spoolscan.verdict import Cause, Doubt

BASE64 = base64.encodebytes(PAYLOAD)
LETTERS = base64.b64encode(PAYLOAD)


def readings(body: bytes, *encodings: str) -> list[bytes]:
    decoded, _ = decode.transfer(body, encodings, Budget(Bounds()))
    return [reading.data for reading in decoded]


def doubts(body: bytes, *encodings: str) -> list[Doubt]:
    return decode.transfer(body, encodings, Budget(Bounds()))[1]


def by_line(text: bytes, size: int, end: bytes) -> bytes:
    return b"".join(text[at : at + size] + end for at in range(0, len(text), size))


@pytest.mark.parametrize("body", [BASE64, BASE64.replace(b"\n", b"\r\n"), LETTERS, b" " + BASE64])
def test_well_formed_base64_has_one_reading(body: bytes) -> None:
    assert readings(body, "base64") == [PAYLOAD]


@pytest.mark.parametrize("word", ["base64", " BASE64 ", "base-64", '"base64"', "x-base64"])
def test_the_word_base64_is_known_however_it_is_written(word: str) -> None:
    assert readings(BASE64, word) == [PAYLOAD]


MISUSED = {
    "junk between letters": re.sub(rb"(.)", rb"\1#", LETTERS),
    "minus between letters": re.sub(rb"(.)", rb"\1-", LETTERS),
    "underscore between letters": re.sub(rb"(.)", rb"\1_", LETTERS),
    "no padding": LETTERS.rstrip(b"="),
    "URL-safe letters": base64.urlsafe_b64encode(PAYLOAD),
    "a short line before": b"AB\n\n" + BASE64,
    "a single letter before": b"A\n\n" + BASE64,
    "lines that end in junk": by_line(LETTERS, 60, b"#abce01234567fghj\n"),
    "lines of three that end in junk": by_line(LETTERS, 63, b"#abce01234567fghj\n"),
    "a line of junk before": b"begin-base64 744 a.exe\n" + BASE64 + b"====\n",
    "two bodies, each padded": base64.encodebytes(PAYLOAD[:100])
    + base64.encodebytes(PAYLOAD[100:]),
    "more behind the padding": LETTERS.rstrip(b"=") + b"====\n" + base64.b64encode(b"innocent"),
    "text behind the padding": base64.encodebytes(PAYLOAD + b"!") + b"\n-- \nmy list\n",
    "bare carriage returns": BASE64.replace(b"\n", b"\r"),
}


@pytest.mark.parametrize("body", MISUSED.values(), ids=MISUSED)
def test_base64_misused_is_read_as_some_client_reads_it(body: bytes) -> None:
    assert any(reading in {PAYLOAD, PAYLOAD + b"!"} for reading in readings(body, "base64"))


def test_base64_is_found_where_no_header_tells_of_it() -> None:
    assert readings(BASE64) == [BASE64, PAYLOAD]
    assert readings(BASE64, "7bit") == [BASE64, PAYLOAD]


def test_what_is_declared_base64_and_cannot_be_is_also_taken_as_it_stands() -> None:
    assert uuencoded() in readings(uuencoded(), "base64")


def test_words_are_not_taken_for_base64() -> None:
    text = b"Congratulations\r\nInternationalisation\r\nwww.example.org/path\r\n"
    assert readings(text) == [text]


QUOTED = binascii.b2a_qp(PAYLOAD, istext=False)


@pytest.mark.parametrize(
    "body",
    [
        QUOTED,
        QUOTED.replace(b"=\n", b"= \t\n"),
        QUOTED.replace(b"\n", b"\r\n"),
        re.sub(rb"=[0-9A-F]{2}", lambda escape: escape[0].lower(), QUOTED),
    ],
    ids=["well formed", "blanks behind soft breaks", "CRLF", "lower-case digits"],
)
def test_quoted_printable_is_read(body: bytes) -> None:
    assert PAYLOAD in readings(body, "quoted-printable")


def test_well_formed_quoted_printable_has_one_reading() -> None:
    assert readings(b"caf=C3=A9 =\nand more", "quoted-printable") == [b"caf\xc3\xa9 and more"]


@pytest.mark.parametrize("body", [b"A=0a=4D=5a=5A", b"=4D==5A", b"=4=4D=5A"])
def test_a_broken_escape_is_kept_by_one_reading_and_dropped_by_another(body: bytes) -> None:
    found = readings(body, "quoted-printable")
    assert len(found) > 1
    assert any(reading.endswith(b"MZ") for reading in found)


@pytest.mark.parametrize("word", ["uuencode", "x-uuencode", "x-uue", "uue", "uu", "x-uu"])
def test_uuencode_is_read_with_its_begin_and_without(word: str) -> None:
    with_begin = uuencoded()
    bare = b"\n".join(with_begin.splitlines()[1:-2]) + b"\n"
    assert readings(with_begin, word)[0] == PAYLOAD
    assert readings(bare, word)[0] == PAYLOAD
    assert readings(with_begin.replace(b"end\n", b""), word)[0] == PAYLOAD
    assert readings(with_begin.replace(b"\n", b"\r\n"), word)[0] == PAYLOAD


def test_uuencode_with_blanks_for_zero_cut_from_line_ends_is_read() -> None:
    zeros = bytes(90)
    body = b"".join(binascii.b2a_uu(zeros[at : at + 45]).rstrip() + b"\n" for at in (0, 45))
    assert readings(body, "uuencode")[0] == zeros


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (yencoded(), "x-yencode"),
        (yencoded(), "yenc"),
        (binhexed(), "mac-binhex40"),
        (binhexed(), "x-binhex"),
        (binhexed().partition(b"\n\n")[2], "binhex"),
        (b"begin-base64 644 " + NAME.encode() + b"\n" + BASE64 + b"====\n", "x-uue"),
    ],
)
def test_the_rarer_encodings_are_read(body: bytes, word: str) -> None:
    assert readings(body, word)[0] == PAYLOAD
    assert doubts(body, word) == []


@pytest.mark.parametrize("word", ["7bit", "8bit", "8-bit", "binary", "", "utf-8", "us-ascii"])
def test_an_encoding_that_is_none_leaves_the_bytes_alone(word: str) -> None:
    assert readings(b"\x00\xffas it is", word) == [b"\x00\xffas it is"]
    assert doubts(b"\x00\xffas it is", word) == []


def test_an_unknown_encoding_is_a_doubt_unless_the_text_is_plain() -> None:
    assert doubts(b"Good day.\r\n", "x-secret") == []
    assert [doubt.cause for doubt in doubts(b"\x00\x01\x02", "x-secret")] == [Cause.UNREADABLE]


def test_two_encodings_give_the_readings_of_both() -> None:
    assert readings(BASE64, "base64", "7bit") == [PAYLOAD, BASE64]


def test_decoding_is_counted_before_it_is_done() -> None:
    with pytest.raises(LimitReached):
        decode.transfer(BASE64, ("base64",), Budget(Bounds(decoded_bytes=len(PAYLOAD) - 1)))


@pytest.mark.parametrize(
    "word", ["base64", "quoted-printable", "uuencode", "yenc", "binhex", "7bit"]
)
@given(body=st.lists(st.sampled_from([b"A", b"=", b"\r", b"\n", b"-", b" ", b"4D", b"M", b"\x90"])))
def test_nothing_raises_whatever_the_body(word: str, body: list[bytes]) -> None:
    assert readings(b"".join(body), word)


@given(data=st.binary(max_size=200))
def test_what_is_encoded_by_the_book_comes_out_as_it_was(data: bytes) -> None:
    assert readings(base64.encodebytes(data), "base64") == [data]
    assert readings(binascii.b2a_qp(data, istext=False), "quoted-printable")[0] == data
