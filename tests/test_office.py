"""Outlook and Office: winmail.dat, RTF, compound files."""

from __future__ import annotations

import binascii
import struct

import pytest
from unpacking import THE_FILE, doubts, opened

from spoolscan.cli.specimens import (
    NAME,
    PAYLOAD,
    compound,
    mapi,
    ole_object,
    package,
    rtf,
    tnef,
    winmail,
    zipped,
)
from spoolscan.scanner.unpack import Member
from spoolscan.verdict import Cause


def test_an_attachment_whose_names_end_differently_is_given_under_both() -> None:
    assert opened(winmail("invoice.exe", title="invoice.txt")) == [
        Member("invoice.exe", PAYLOAD),
        Member("invoice.txt", PAYLOAD),
    ]


def test_every_attachment_of_a_winmail_dat_is_whole() -> None:
    one = (2, 0x9002, b"\0" * 14), (2, 0x8010, b"a.txt\0"), (2, 0x800F, b"first")
    two = (2, 0x9002, b"\0" * 14), (2, 0x8010, b"b.txt\0"), (2, 0x800F, PAYLOAD)
    assert opened(tnef(*one, *two)) == [Member("a.txt", b"first"), Member("b.txt", PAYLOAD)]


def test_a_message_in_a_winmail_dat_is_a_member_that_can_be_opened() -> None:
    inner = winmail()
    value = b"\x07\x03\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46" + inner
    outer = tnef((2, 0x9002, b"\0" * 14), (2, 0x9005, mapi((0x0D, 0x3701, value))))
    assert opened(outer) == [Member("", inner)]


def test_the_bodies_of_a_winmail_dat_are_members() -> None:
    stored = b"{\\rtf1 hello}"
    rtf_value = struct.pack("<LL4sL", len(stored) + 12, len(stored), b"MELA", 0) + stored
    properties = mapi((0x102, 0x1013, b"<html>"), (0x102, 0x1009, rtf_value))
    assert opened(tnef((1, 0x9003, properties))) == [
        Member("message.html", b"<html>"),
        Member("message.rtf", stored),
    ]


def test_compressed_rtf_is_expanded() -> None:
    # The example of [MS-OXRTFCP] section 3.2.
    packed = binascii.unhexlify(
        "2d0000002b0000004c5a4675f1c5c7a703000a00726370673132354232"
        "0af32068656c090020627705b06c647d0a800fa0"
    )
    members = opened(tnef((1, 0x9003, mapi((0x102, 0x1009, packed)))))
    assert members[0].data == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"


def test_a_winmail_dat_cut_short_is_a_doubt() -> None:
    assert doubts(winmail()[:-200]) == [Cause.UNREADABLE]


DIGITS = binascii.hexlify(ole_object(package()))


@pytest.mark.parametrize(
    "hidden",
    [
        b"{\\rtf1{\\object{\\*\\objdata \r\n " + DIGITS[:40] + b"\r\n\t " + DIGITS[40:] + b"}}}",
        b"{\\rt{\\object{\\*\\objdata" + DIGITS[:41] + b"{\\*\\foo a1b2}" + DIGITS[41:] + b"}}}",
        b"{\\rtf1{\\*\\objdata " + DIGITS[:50] + b"\\bar7 {}\\'a1" + DIGITS[50:] + b"}}",
        b"{\\rtf1{\\*\\objdata " + b" ".join(bytes([digit]) for digit in DIGITS),
        b"{\\rtf1{\\*\\objdata\\bin%d " % (len(DIGITS) // 2) + ole_object(package()) + b"}}",
    ],
    ids=["white space", "inner group", "control words", "blank between digits", "binary"],
)
def test_an_object_in_rtf_is_found_however_its_digits_are_hidden(hidden: bytes) -> None:
    assert THE_FILE in opened(hidden)


def test_an_object_in_rtf_that_is_a_compound_file_is_given_as_such() -> None:
    inner = compound(("Package", PAYLOAD))
    assert inner in [member.data for member in opened(rtf(ole_object(inner, b"Word.Document")))]


def test_a_compound_file_gives_what_is_something_and_leaves_the_rest() -> None:
    document = compound(("WordDocument", b"\0" * 5000), ("ObjectPool/Package", zipped()))
    members = opened(document)
    assert [member.name for member in members] == ["ObjectPool/Package"]
    assert THE_FILE in opened(members[0].data)


def test_the_source_of_macros_is_a_member() -> None:
    # One chunk, all literals: each flag byte before eight letters.
    text = b'\x00Attribute VB_Name = "ThisDocument"\r\nSub AutoOpen()\r\n'
    source = b'Attribute VB_Name = "ThisDocument"\r\nSub AutoOpen()\r\n'
    chunk = text[:9]
    rest = text[9:]
    for at in range(0, len(rest), 8):
        chunk += b"\0" + rest[at : at + 8]
    packed = b"\1" + struct.pack("<H", 0xB000 | len(chunk) - 1) + chunk
    document = compound(("VBA/ThisDocument", b"\x16\1\0" * 20 + packed))
    assert opened(document) == [Member("VBA/ThisDocument", source)]


def test_attachments_of_an_outlook_message_have_their_names() -> None:
    message = compound(
        ("__attach_version1.0_#00000000/__substg1.0_3707001F", NAME.encode("utf-16-le")),
        ("__attach_version1.0_#00000000/__substg1.0_37010102", PAYLOAD.ljust(4096, b"\0")),
    )
    assert [member.name.rstrip("\0") for member in opened(message)] == [NAME]


def test_an_encrypted_document_is_a_doubt() -> None:
    assert doubts(compound(("EncryptedPackage", b"\0" * 64))) == [Cause.ENCRYPTED]


def test_a_compound_file_whose_chains_go_in_circles_ends() -> None:
    document = bytearray(compound(("Package", PAYLOAD)))
    document[512 + 4 : 512 + 8] = struct.pack("<L", 1)
    assert isinstance(opened(bytes(document)), list)
