"""Type by content, and what is surely harmless text."""

from __future__ import annotations

import base64
import codecs

import pytest
from containers import PLAIN, SPECIMENS
from hypothesis import given
from hypothesis import strategies as st

from spoolscan.cli.specimens import PAYLOAD, uuencoded, yencoded
from spoolscan.scanner.content import is_plain_text, is_tar, sniff

# The test virus of EICAR, in two halves: this file is to stay clean.
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-" + rb"ANTIVIRUS-TEST-FILE!$H+H*"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PAYLOAD, "application/x-dosexec"),
        (b"\x7fELF\x02\x01\x01" + bytes(9), "application/x-executable"),
        (SPECIMENS["zip"], "application/zip"),
        (b"PK\5\6" + bytes(18), "application/zip"),
        (SPECIMENS["OLE"], "application/x-ole-storage"),
        (SPECIMENS["RTF"], "application/rtf"),
        (SPECIMENS["TNEF"], "application/ms-tnef"),
        (SPECIMENS["tar"], "application/x-tar"),
        (SPECIMENS["gzip"], "application/gzip"),
        (SPECIMENS["bzip2"], "application/x-bzip2"),
        (SPECIMENS["xz"], "application/x-xz"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "application/x-7z-compressed"),
        (b"Rar!\x1a\x07\x01\0", "application/vnd.rar"),
        (b"MSCF\0\0\0\0", "application/vnd.ms-cab-compressed"),
        (b"\x60\xea\x2b\0\x22", "application/x-arj"),
        (b"\x22\x1b-lh5-" + bytes(20), "application/x-lzh"),
        (bytes(32769) + b"CD001", "application/x-iso9660-image"),
        (b"\x28\xb5\x2f\xfd\x04", "application/zstd"),
        (b"\x04\x22\x4d\x18\x64", "application/x-lz4"),
        (b"L\0\0\0\x01\x14\x02\0" + bytes(12), "application/x-ms-shortcut"),
        (b"junk before it\n%PDF-1.7\n", "application/pdf"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
        (b"GIF89a\1\0\1\0", "image/gif"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
        (b"II*\0\x08\0\0\0", "image/tiff"),
        (b"BM\x46\0\0\0\0\0\0\0", "image/bmp"),
        (b"ID3\x04\0\0", "audio/mpeg"),
        (b"\0\0\0\x20ftypisom", "video/mp4"),
        (b"#!/bin/sh\nrm -rf /\n", "text/x-script"),
        (b"@echo off\r\ndel *.*\r\n", "text/x-script"),
        (b"  <!DOCTYPE html><p>hello", "text/html"),
        (codecs.BOM_UTF16_LE + "<script>x".encode("utf-16-le"), "text/html"),
        (b"Received: from a\r\n by b\r\nSubject: c\r\n\r\nhello", "message/rfc822"),
        (b"From a@b Mon Jan 1\nFrom: a\nTo: b\n\nhello", "message/rfc822"),
        (PLAIN, "text/plain"),
        ("Grüße".encode("latin-1"), "text/plain"),
        (b"\x01\x02\x03", "application/octet-stream"),
        (b"", "application/octet-stream"),
    ],
)
def test_bytes_are_known_by_what_they_are(data: bytes, kind: str) -> None:
    assert sniff(data) == kind


@pytest.mark.parametrize(
    "data", [b"MZ is the beginning of a word here.\n", b"BMW sells cars.\n", b"Note: see below.\n"]
)
def test_text_that_begins_like_something_else_is_text(data: bytes) -> None:
    assert sniff(data) == "text/plain"


@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        b"",
        "Grüße aus Köln, und 終わり".encode(),
        "Привет, как дела?".encode("koi8-r"),
        b"> On Monday you wrote <alice@example.org>:\r\n> begin with the end in mind\r\n",
        b"-- \r\nsee https://example.org/?a=1&b=2\x0cnext page\r\n",
        b"-----BEGIN PGP SIGNATURE-----\n\n" + base64.encodebytes(bytes(range(200))),
        b"if 1 < 2 and 3 > 2 then fine",
    ],
)
def test_ordinary_text_is_surely_harmless(data: bytes) -> None:
    assert is_plain_text(data)


@pytest.mark.parametrize(
    "data",
    [
        PLAIN + b"\0",
        PLAIN + b"\x1b[2J",
        PLAIN + uuencoded(),
        PLAIN.replace(b"\r\n", b"\r") + uuencoded(),
        PLAIN + b"begin-base64 644 a.exe\n",
        PLAIN + yencoded(b"only text"),
        PLAIN + b"(This file must be converted with BinHex 4.0)\n",
        PLAIN + b"<SCRIPT>alert(1)</SCRIPT>",
        PLAIN + b'<a\nhref="x">',
        PLAIN + b"data:text/html;base64,AAAA",
        PLAIN + b"Content-Transfer-Encoding: base64\n\n",
        PLAIN + base64.b64encode(PAYLOAD),
        base64.b64encode(bytes(range(200))),
        b"\xef\xbb\xbf#!/usr/bin/python",
        b"@echo off",
        EICAR,
        PAYLOAD,
    ],
)
def test_text_with_something_in_it_is_not(data: bytes) -> None:
    assert not is_plain_text(data)


def test_a_tar_header_is_known_by_its_checksum_or_its_word() -> None:
    header = SPECIMENS["tar"][:512]
    assert is_tar(header)
    assert is_tar(header.replace(b"ustar", b"\0\0\0\0\0")) is False
    assert is_tar(b"x" * 512) is False


@given(st.binary(max_size=700))
def test_neither_ever_raises(data: bytes) -> None:
    assert "/" in sniff(data)
    assert is_plain_text(data) in {True, False}


@pytest.mark.parametrize("word", [b"cone ", b"koly "])
def test_a_word_that_begins_as_the_end_of_a_disk_image_does_is_a_word(word: bytes) -> None:
    text = b"words of a text\r\n" * 60
    data = text + (word + text)[:510] + b"\r\n"
    assert data[-512:].startswith(word)
    assert sniff(data) == "text/plain"


@pytest.mark.parametrize(
    ("mark", "kind"),
    [
        (b"conectix\0\0\0\2", "application/x-vhd-disk"),
        (b"koly\0\0\0\4\0\0\2\0", "application/x-apple-diskimage"),
    ],
)
def test_an_image_of_a_disk_is_known_by_how_its_end_begins(mark: bytes, kind: str) -> None:
    assert sniff(bytes(1024) + mark.ljust(512, b"\0")) == kind
