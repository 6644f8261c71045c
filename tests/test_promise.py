"""A name that promises something packed, over content that nobody knows, is never clean."""

from __future__ import annotations

import base64
import zlib

import pytest

from spoolscan.cli.specimens import PAYLOAD, zipped
from spoolscan.scanner import promise
from spoolscan.scanner.inspect import Tools, inspect
from spoolscan.scanner.patterns import Patterns
from spoolscan.verdict import Cause

RAW = zlib.compress(PAYLOAD)[2:-4]


@pytest.mark.parametrize(
    "name", ["a.tar.br", "a.LZ4", "a.deflate", "a.F", "a.7z.002", "a.r00", "a.part2", "a.zip ."]
)
def test_what_is_called_packed_and_is_nothing_known_is_a_doubt(name: str) -> None:
    doubt = promise.broken(RAW, [name])
    assert doubt is not None
    assert doubt.cause is Cause.UNOPENED


@pytest.mark.parametrize("name", ["a.dat", "a", "winmail.bin", "a.zip.sig", "picture.jpg", "a.doc"])
def test_what_is_called_something_else_is_none(name: str) -> None:
    assert promise.broken(RAW, [name]) is None


@pytest.mark.parametrize("data", [b"", bytes(99), b"program main\nend\n", b"PK\3\4" + RAW])
def test_text_nothing_and_what_is_known_keep_their_promise(data: bytes) -> None:
    assert promise.broken(data, ["a.f"]) is None


def test_a_message_with_one_is_held() -> None:
    none = Patterns.parse(b"", "matches.bad")
    head = b'Content-Type: application/octet-stream; name="a.br"\r\nFrom: a@example.org\r\n'
    mail = head + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(RAW)
    report = inspect(mail, Tools(bad=none, doc=none, engines=())).report
    assert [finding.cause for finding in report.findings] == [Cause.UNOPENED]


def test_the_same_content_under_an_honest_name_before_does_not_hide_it() -> None:
    none = Patterns.parse(b"", "matches.bad")
    mail = base64.encodebytes(zipped(("a.dat", RAW), ("a.br", RAW)))
    head = b"From: a@example.org\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    report = inspect(head + mail, Tools(bad=none, doc=none, engines=())).report
    assert [finding.path[-1] for finding in report.findings] == ["a.br"]
