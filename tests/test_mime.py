"""Structure: every part a client could show is found, by offset, in every reading."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spoolscan.scanner import mime
from spoolscan.scanner.bounds import Bounds, Budget
from spoolscan.scanner.mime import MimePart, Structure
from spoolscan.verdict import Cause

PAYLOAD = b"UEsDBGhpZGRlbg=="
ZIP = b"Content-Type: application/zip\nContent-Transfer-Encoding: base64\n\n" + PAYLOAD
TWO = b"--b\nContent-Type: text/plain\n\nhello\n--b\n" + ZIP + b"\n--b--\n"


def read(data: bytes, bounds: Bounds | None = None) -> Structure:
    return mime.read(data, Budget(bounds or Bounds()))


def body(data: bytes, part: MimePart) -> bytes:
    return data[part.start : part.end]


def carries_payload(data: bytes) -> bool:
    """Whether some part is the base64 zip: its whole body, marked as base64."""
    return any(
        body(data, part).strip() == PAYLOAD and "base64" in part.encodings
        for part in read(data).parts
    )


def causes(structure: Structure) -> set[Cause]:
    return {doubt.cause for doubt in structure.doubts}


def multipart(content_type: bytes, content: bytes = TWO) -> bytes:
    return b"Subject: x\nContent-Type: " + content_type + b"\n\n" + content


def test_a_plain_message_is_one_leaf() -> None:
    data = b"Subject: hi\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello\r\n"
    (part,) = read(data).parts
    assert (part.number, part.parent, part.kind) == ("1", None, "leaf")
    assert body(data, part) == b"hello\r\n"
    assert part.media_types == ("text/plain",)
    assert [header.name for header in part.headers] == ["subject", "content-type"]


def test_parts_are_numbered_as_in_imap_and_stand_in_order() -> None:
    inner = b"Content-Type: multipart/alternative; boundary=i\n\n--i\n\none\n--i\n\ntwo\n--i--\n"
    data = multipart(b"multipart/mixed; boundary=o", b"--o\n" + inner + b"--o\n\nlast\n--o--\n")
    structure = read(data)
    assert [(part.number, part.kind) for part in structure.parts] == [
        ("1", "multipart"),
        ("1.1", "multipart"),
        ("1.1.1", "leaf"),
        ("1.1.2", "leaf"),
        ("1.2", "leaf"),
    ]
    assert [part.parent for part in structure.parts] == [None, 0, 1, 1, 0]
    assert [body(data, part) for part in structure.parts[2:]] == [b"one", b"two", b"last"]
    assert not structure.doubts


def test_a_fold_stays_in_raw_and_leaves_the_value() -> None:
    (part,) = read(b"Subject: a\r\n b\r\nX: c\r\n\r\n").parts
    assert part.headers[0].raw == b"Subject: a\r\n b"
    assert part.headers[0].value == b" a b"


@pytest.mark.parametrize(
    "content_type",
    [
        b"multipart/mixed; boundary=b",
        b'multipart/mixed; boundary="b"',
        b"multipart/mixed; boundary='b'",
        b"mULTipart/mixed; BOUNDARY = b",
        b"multipart/mixed;\n boundary=b",
        b"multipart/mixed;\n \n boundary=b",
        b"multipart/mixed; boundary\n =\n b",
        b"multipart/mixed; boundary*=''b",
        b"multipart/mixed; boundary*=utf-8'en'%62",
        b"multipart/mixed; boundary*=utf-16''%00b",
        b"multipart/mixed; boundary*0=; boundary*1=b",
        b"multipart/mixed; boundary*1=b; boundary*0=",
        b"multipart/mixed; boundary=other; boundary=b",
        b"multipart/mixed; boundary=b; boundary=other",
        b"multipart/mixed; boundary=other\nContent-Type: multipart/mixed; boundary=b",
        b"multipart/mixed, boundary=b",
        b"multipart/mixed boundary=b",
        b'multipart/mixed; x="y;boundary=b"',
        b'multipart/mixed; x="y\\";boundary=b',
        b'multipart/mixed; "boundary=b"',
        b'multipart/mixed; "boundary"="b"',
        b"multipart/mixed; boundary\x0b=b;;",
        b'multipart/mixed; boundary="b"junk',
        b"multipart/mixed; boundary=b, x",
        b"multipart/mixed; boundary=b\0c",
        b"multipart / mixed; boundary=b",
        b"multipart/; boundary=b",
        b'multipart/mixed; boundary=""',
        b"multipart/mixed; boundary=%62",
        b"message/rfc822; boundary=b",
        b"multipart/mixed;\n\nboundary=b",
        b"multipart/mixed; boundary=boundary=b",
        b'multipart/mixed; boundary="b',
        b'multipart/mixed; boundary=b"c"',
        b"multipart/mixed; boundary=\\b",
        b"multipart/mixed; bound(x)ary=b",
        b"(x) multipart/mixed; boundary=(y)b",
        b"=?utf-8?B?bXVsdGlwYXJ0?=/mixed; boundary=b",
        b'"multipart/mixed"; boundary=b',
        b"multi\\part/mixed; boundary=b",
        b"multipart; boundary=b",
        b"x-multipart/mixed; boundary=b",
        b"text/plain; boundary=b",
        b"text/plain\nContent-Type: multipart/mixed; boundary=b",
        b": multipart/mixed; boundary=b",
        b"multipart/mixed; boundary=c",
        b"multipart/mixed",
        b"text/plain",
    ],
)
def test_the_payload_is_found_however_its_boundary_is_spelt(content_type: bytes) -> None:
    assert carries_payload(multipart(content_type))


@pytest.mark.parametrize(
    "delimiter",
    [
        *[
            b"--b",
            b"--b ",
            b"--b\t",
            b"--b\x0b",
            b"--b\r",
            b"--b\0",
            b"--b\r\r",
            b"--b-",
            b"--b---",
        ],
        *[
            b"--bX",
            b"--b X",
            b"--b;",
            b" --b",
            b"\t--b",
            b"\0--b",
            b"\r--b",
            b"---b",
            b"--B",
            b'--"b"',
        ],
    ],
)
def test_the_payload_is_found_however_the_delimiter_is_spelt(delimiter: bytes) -> None:
    content = b"--b\n\nhello\n" + delimiter + b"\n" + ZIP + b"\n" + delimiter + b"\n\nend\n--b--\n"
    assert carries_payload(multipart(b"multipart/mixed; boundary=b", content))


@pytest.mark.parametrize(
    "header",
    [
        b"content-type : multipart/mixed; boundary=b\n",
        b"Content-Type:: multipart/mixed; boundary=b\n",
        b"Content-Type(x): multipart/mixed; boundary=b\n",
        b"Content-\0Type: multipart/mixed; boundary=b\n",
        b"Content-Type multipart/mixed; boundary=b\n",
        b"X: y\n Content-Type: multipart/mixed; boundary=b\n",
        b"X: y\rContent-Type: multipart/mixed; boundary=b\n",
        b"no colon\n Content-Type: multipart/mixed; boundary=b\n",
        b"no colon\nContent-Type: multipart/mixed; boundary=b\n",
        b"From a@example.org Mon\nContent-Type: multipart/mixed; boundary=b\n",
        b"\xef\xbb\xbfContent-Type: multipart/mixed; boundary=b\n",
        b"Content-Type\t:\tmultipart/mixed; boundary=b\n",
        b"Content-Type=multipart/mixed; boundary=b\n",
        b"\tContent-Type: multipart/mixed; boundary=b\n",
        b"X: y\x0bContent-Type: multipart/mixed; boundary=b\n",
        b"X: y\n\rContent-Type: multipart/mixed; boundary=b\n",
    ],
)
def test_malformed_fields_still_declare(header: bytes) -> None:
    (part, *_) = read(header + b"\n" + TWO).parts
    assert part.kind == "multipart"
    assert carries_payload(header + b"\n" + TWO)


@pytest.mark.parametrize(
    ("field", "reading"),
    [
        (b"BASE64", "base64"),
        (b"base64;", "base64"),
        (b"xx base64", "base64"),
        (b",base64", "base64"),
        (b'"base64"', "base64"),
        (b"(x) base64", "base64"),
        (b"base 64", "base64"),
        (b"=?utf-8?Q?base64?=", "base64"),
        (b"Quoted_Printable", "quoted-printable"),
        (b"x-uue", "x-uuencode"),
        (b"7bit\nContent-Transfer-Encoding: base64", "base64"),
    ],
)
def test_every_reading_of_the_transfer_encoding_is_given(field: bytes, reading: str) -> None:
    (part,) = read(b"Content-Transfer-Encoding: " + field + b"\n\n").parts
    assert reading in part.encodings


def test_an_ordinary_encoding_has_one_reading() -> None:
    (part,) = read(b"Content-Transfer-Encoding: Base64\n\n").parts
    assert part.encodings == ("base64",)


def test_preamble_and_epilogue_are_parts_when_they_are_not_empty() -> None:
    data = multipart(b"multipart/mixed; boundary=b", b"before\n" + TWO + b"behind\n")
    parts = {part.kind: body(data, part) for part in read(data).parts}
    assert parts["preamble"] == b"before"
    assert parts["epilogue"] == b"behind\n"


def test_parts_behind_the_end_are_found_and_doubted() -> None:
    data = multipart(b"multipart/mixed; boundary=b", b"--b--\n" + TWO)
    assert carries_payload(data)
    assert Cause.AMBIGUOUS in causes(read(data))


def test_a_missing_end_changes_nothing() -> None:
    data = multipart(b"multipart/mixed; boundary=b", TWO.replace(b"--b--\n", b""))
    assert carries_payload(data)
    assert not read(data).doubts


def test_an_inner_boundary_that_begins_like_the_outer_one_is_no_ambiguity() -> None:
    inner = TWO.replace(b"--b", b"--bb")
    content = b"--b\nContent-Type: multipart/mixed; boundary=bb\n\n" + inner + b"--b--\n"
    data = multipart(b"multipart/mixed; boundary=b", content)
    assert carries_payload(data)
    assert not read(data).doubts


@pytest.mark.parametrize(
    "content_type", [b"text/plain; boundary=b", b"multipart/mixed; boundary=b; boundary=hello"]
)
def test_two_readings_are_both_taken_and_doubted(content_type: bytes) -> None:
    data = multipart(content_type, TWO + b"--hello\n\nthere\n--hello--\n")
    structure = read(data)
    assert any(part.number.endswith("b") for part in structure.parts)
    assert Cause.AMBIGUOUS in causes(structure)


def test_a_header_broken_off_by_a_line_of_white_space_is_read_both_ways() -> None:
    data = b"Content-Type: application/zip\nContent-Transfer-Encoding: base64\n \nUEsD\n\nmore\n"
    structure = read(data)
    assert [body(data, part) for part in structure.parts] == [b"more\n", b"UEsD\n\nmore\n"]
    assert Cause.AMBIGUOUS in causes(structure)


def test_more_fields_behind_a_line_of_white_space_are_no_ambiguity() -> None:
    data = b"Subject: x\n \nFrom: a@example.org\nTo: b@example.org,\n c@example.org\n\nhello\n"
    assert not read(data).doubts


def test_a_message_inside_another_is_as_deep_as_where_it_lies() -> None:
    inner = multipart(b"multipart/mixed; boundary=b")
    assert not mime.read(inner, Budget(Bounds(depth=3)), 2).doubts
    assert Cause.LIMIT in causes(mime.read(inner, Budget(Bounds(depth=3)), 3))


def test_empty_lines_before_a_header_hide_nothing() -> None:
    assert carries_payload(b"\n\n" + ZIP)
    assert carries_payload(multipart(b"multipart/mixed; boundary=b", b"--b\n\n" + ZIP + b"\n--b--"))


def test_an_old_mac_message_with_bare_carriage_returns_is_read() -> None:
    assert carries_payload(multipart(b"multipart/mixed; boundary=b").replace(b"\n", b"\r"))


def test_parts_without_any_header_above_are_found() -> None:
    assert carries_payload(TWO)


def test_a_second_message_in_an_mbox_is_found() -> None:
    assert carries_payload(b"Subject: x\n\nhello\n\nFrom a@example.org Mon\nTo: b\n" + ZIP)


def test_a_message_in_a_message_is_entered_by_offset() -> None:
    inner = multipart(b"multipart/mixed; boundary=b")
    data = multipart(b"message/rfc822", inner)
    structure = read(data)
    assert [part.number for part in structure.parts] == ["1", "1.1", "1.1.1", "1.1.2"]
    assert structure.parts[0].kind == "message"
    assert carries_payload(data)


def test_an_encoded_message_is_left_to_be_decoded() -> None:
    (part,) = read(
        b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nUkU6\n"
    ).parts
    assert (part.kind, part.encodings) == ("message", ("base64",))


def test_a_message_that_only_says_it_is_encoded_is_entered() -> None:
    data = b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n"
    assert carries_payload(data + multipart(b"multipart/mixed; boundary=b"))


def test_a_part_of_a_digest_is_a_message() -> None:
    content = b"--d\n\n" + multipart(b"multipart/mixed; boundary=b") + b"--d--\n"
    assert carries_payload(multipart(b"multipart/digest; boundary=d", content))


@pytest.mark.parametrize("kind", [b"message/partial; id=x; number=1", b"message/external-body"])
def test_content_that_is_elsewhere_is_unreadable(kind: bytes) -> None:
    assert Cause.UNREADABLE in causes(read(multipart(kind, b"Subject: y\n\nz\n")))


def test_a_boundary_that_is_quoted_in_text_makes_no_doubt() -> None:
    data = b"Content-Type: text/plain\n\nThey sent:\n" + TWO + b"-- \nPhone: 123\n"
    assert not read(data).doubts


@pytest.mark.parametrize(
    ("bounds", "data"),
    [
        (Bounds(headers=3), b"A: b\n" * 5 + b"\n"),
        (Bounds(header_bytes=20), b"A: " + b"b" * 50 + b"\n\n"),
        (Bounds(parts=5), multipart(b"multipart/mixed; boundary=b", b"--b\n\nx\n" * 20)),
        (Bounds(parameters=5), multipart(b"text/plain" + b"; boundary=b" * 9)),
        (
            Bounds(depth=3),
            b"".join(
                b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (i, i) for i in range(9)
            ),
        ),
        (Bounds(depth=3), b"Content-Type: message/rfc822\n\n" * 9),
        (Bounds(seconds=0), TWO),
        (
            Bounds(),
            multipart(b"multipart/mixed" + b"; boundary=%d" * 99 % tuple(range(99)), b"x\n" * 9999),
        ),
    ],
)
def test_a_bound_that_is_met_is_said_and_what_was_found_is_kept(
    bounds: Bounds, data: bytes
) -> None:
    structure = read(data, bounds)
    assert Cause.LIMIT in causes(structure)
    assert structure.parts


def check(data: bytes) -> None:
    """What holds for any bytes."""
    structure = read(data, Bounds(parts=50, depth=5, headers=20))
    for index, part in enumerate(structure.parts):
        assert 0 <= part.start <= part.end <= len(data)
        assert part.parent is None or part.parent < index
        assert part.kind in {"leaf", "multipart", "message", "preamble", "epilogue", "raw"}
        assert all(header.name.isascii() for header in part.headers)


PIECES = (
    b"\n", b"\r\n", b"\r", b"\0", b" ", b"\t", b":", b";", b'"', b"\\", b"=", b"*", b"(", b")",
    b"'", b"--", b"b", b"--b\n", b"--b--\n", b"Content-Type: ", b"multipart/mixed",
    b"message/rfc822", b"boundary=", b"boundary*0*=", b"=?utf-8?q?", b"=?utf-16?b?", b"?=", b"%62",
    b"From x\n", b"\xff", b"Content-Transfer-Encoding: base64\n", b"\n\n", b"text/plain",
    b"multipart/digest",
)  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join))
def test_any_mixture_of_the_grammar_is_read(data: bytes) -> None:
    check(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_read(data: bytes) -> None:
    check(data)


@settings(max_examples=50)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join))
def test_junk_before_the_payload_does_not_hide_it(junk: bytes) -> None:
    assert carries_payload(b"Subject: x\n\n" + junk + b"\n\n--b\n" + ZIP + b"\n--b--\n")
