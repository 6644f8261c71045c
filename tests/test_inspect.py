"""The heart: bytes in, Report out.  What is found, what is doubted, and what is left alone."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from spoolscan import share
from spoolscan.cli import specimens
from spoolscan.cli.samples import EICAR, PROGRAM, encrypted, examples, picture, zipped
from spoolscan.config import Config
from spoolscan.errors import TemporaryFailure
from spoolscan.scanner.bounds import Bounds
from spoolscan.scanner.engines import Sample
from spoolscan.scanner.inspect import Tools, inspect
from spoolscan.scanner.patterns import Patterns
from spoolscan.scanner.toolbox import Toolbox
from spoolscan.verdict import Cause, Finding, Report, Verdict

FATES = {"delivered": {Verdict.CLEAN}, "hold": {Verdict.UNSCANNABLE}}
BAD = {Verdict.BANNED, Verdict.INFECTED}


@pytest.fixture(scope="module")
def tools() -> Tools:
    """As shipped: patterns, yara with its rules."""
    return Toolbox(Config(root=share.folder("etc").parent)).tools()


class Down:
    """An engine that cannot answer."""

    name = "down"

    def scan(self, samples: Sequence[Sample], deadline: float = math.inf) -> list[Finding]:
        raise TemporaryFailure("down: not there")

    def awake(self) -> str:
        raise TemporaryFailure("down: not there")

    def close(self) -> None:
        pass


class Asked(Down):
    """An engine that finds nothing and remembers what it was given."""

    name = "asked"

    def __init__(self) -> None:
        self.samples: list[Sample] = []

    def scan(self, samples: Sequence[Sample], deadline: float = math.inf) -> list[Finding]:
        self.samples.extend(samples)
        return []


def mail(*parts: bytes, boundary: str = "b1") -> bytes:
    mark = f"--{boundary}".encode()
    body = b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts)
    head = f"From: a@b.example\r\nContent-Type: multipart/mixed; boundary={boundary}\r\n\r\n"
    return head.encode() + body + mark + b"--\r\n"


def part(
    content: bytes,
    name: str = "",
    media_type: str = "application/octet-stream",
    encoding: str = "base64",
) -> bytes:
    head = f"Content-Type: {media_type}\r\nContent-Transfer-Encoding: {encoding}\r\n"
    if name:
        head += f'Content-Disposition: attachment; filename="{name}"\r\n'
    coded = base64.encodebytes(content).replace(b"\n", b"\r\n") if encoding == "base64" else content
    return head.encode() + b"\r\n" + coded


def judged(data: bytes, tools: Tools) -> Report:
    return inspect(data, tools).report


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.title)
def test_each_sample_of_the_demo_is_judged_as_it_says(example, tools: Tools) -> None:  # type: ignore[no-untyped-def]
    assert judged(example.content, tools).verdict in FATES.get(example.fate, BAD)


def test_a_banned_name_is_enough_and_nothing_is_decoded_or_scanned(tools: Tools) -> None:
    asked = Asked()
    report = judged(mail(part(EICAR, "a.exe")), replace(tools, engines=[asked]))
    [finding] = report.findings
    assert (finding.verdict, finding.path, finding.engine) == (
        Verdict.BANNED,
        ("a.exe",),
        "matches.bad",
    )
    assert [item.size for item in report.parts] == [None]
    assert asked.samples == []


def test_describing_decodes_a_banned_part_too_and_scans_nothing(tools: Tools) -> None:
    asked = Asked()
    report = judged(mail(part(EICAR, "a.exe")), replace(tools, engines=[asked], describe=True))
    assert [item.size for item in report.parts] == [len(EICAR)]
    assert asked.samples == []


def test_a_member_of_an_archive_in_a_forwarded_message_is_reported_by_its_whole_path(
    tools: Tools,
) -> None:
    inner = mail(part(zipped({"deep/setup.exe": PROGRAM}), "inv.zip"), boundary="b2")
    message = b"Content-Type: message/rfc822\r\n\r\n" + inner
    [finding] = judged(mail(message), tools).findings
    assert finding.path[1:] == ("inv.zip", "deep/setup.exe")
    assert finding.verdict is Verdict.BANNED


@pytest.mark.parametrize("encoding", ["base64", "7bit"])
def test_a_message_in_a_message_is_read_encoded_or_not(tools: Tools, encoding: str) -> None:
    inner = mail(part(EICAR, "letter.doc"), boundary="b2")
    report = judged(mail(part(inner, "", "message/rfc822", encoding)), tools)
    assert report.verdict is Verdict.INFECTED
    assert report.findings[0].path[-1] == "letter.doc"


def test_an_encoded_multipart_is_read_too(tools: Tools) -> None:
    inner = mail(part(EICAR, "letter.doc"), boundary="b2").partition(b"\r\n\r\n")[2]
    report = judged(mail(part(inner, "", "multipart/mixed; boundary=b2")), tools)
    assert report.verdict is Verdict.INFECTED


def test_only_what_is_not_surely_harmless_reaches_the_engines(tools: Tools) -> None:
    asked = Asked()
    message = mail(
        part(b"Good day\r\n", "", "text/plain", "7bit"),
        part(picture(), "logo.png", "image/png"),
        part(b"%PDF-1.4\n", "a.pdf", "application/pdf"),
    )
    report = judged(message, replace(tools, engines=[asked]))
    assert [sample.path for sample in asked.samples] == [("a.pdf",)]
    assert [bool(item.suspicious) for item in report.parts] == [False, False, True]


def test_everything_means_every_part_and_the_whole_message(tools: Tools) -> None:
    asked = Asked()
    message = mail(
        part(b"Good day\r\n", "", "text/plain", "7bit"), part(picture(), "l.png", "image/png")
    )
    judged(message, replace(tools, engines=[asked], everything=True))
    assert asked.samples[0] == Sample((), message)
    assert [sample.path for sample in asked.samples[1:]] == [("part 1.1",), ("l.png",)]


def test_a_picture_that_is_none_is_suspicious(tools: Tools) -> None:
    report = judged(mail(part(PROGRAM, "logo.png", "image/png")), tools)
    assert report.verdict is Verdict.BANNED


@pytest.mark.parametrize("tail", [b"", picture()[-12:]], ids=["behind it", "with a picture's end"])
def test_an_archive_behind_a_picture_is_opened(tools: Tools, tail: bytes) -> None:
    archive = zipped({"a.doc": EICAR})[:-2] + len(tail).to_bytes(2, "little") + tail
    report = judged(mail(part(picture() + archive, "logo.png", "image/png")), tools)
    assert report.verdict is Verdict.INFECTED


def test_an_engine_that_is_down_is_never_clean(tools: Tools) -> None:
    with pytest.raises(TemporaryFailure, match="not there"):
        inspect(
            mail(part(b"%PDF-1.4\n", "a.pdf")), replace(tools, engines=[*tools.engines, Down()])
        )


def test_a_virus_found_outweighs_an_engine_that_is_down(tools: Tools) -> None:
    report = judged(mail(part(EICAR, "a.doc")), replace(tools, engines=[Down(), *tools.engines]))
    assert report.verdict is Verdict.INFECTED


def test_a_harmless_letter_needs_no_engine(tools: Tools) -> None:
    report = judged(b"Subject: hi\r\n\r\nhello\r\n", replace(tools, engines=[Down()]))
    assert report.verdict is Verdict.CLEAN


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        (Bounds(parts=3), mail(*[part(b"x\r\n", "", "text/plain", "7bit")] * 5)),
        (Bounds(decoded_bytes=1000), mail(part(b"%PDF" + bytes(2000), "a.pdf"))),
        (Bounds(decoded_bytes=10_000), mail(part(zipped({"a": bytes(100_000)}), "a.zip"))),
        (Bounds(headers=3), b"A: b\r\n" * 5 + b"\r\nhello\r\n"),
        (Bounds(header_bytes=50), b"A: " + b"b" * 99 + b"\r\n\r\nhello\r\n"),
        (Bounds(parameters=3), b"Content-Type: text/plain" + b"; a=b" * 9 + b"\r\n\r\nhello\r\n"),
        (Bounds(header_bytes=300), mail(*[part(b"x", "(1).txt", "text/plain", "7bit")] * 30)),
        (Bounds(ratio=2), mail(part(zipped({"a": bytes(3_000_000)}), "a.zip"))),
        (Bounds(depth=3), b"Content-Type: message/rfc822\r\n\r\n" * 9),
        (
            Bounds(depth=2),
            mail(part(zipped({"a": zipped({"b": zipped({"c": b"d" * 99})})}), "a.zip")),
        ),
        (Bounds(seconds=0), mail(part(b"%PDF", "a.pdf"))),
    ],
    ids=[
        *["parts", "bytes", "unpacked bytes", "headers", "header bytes", "parameters"],
        *["readings of names", "ratio", "depth of messages", "depth", "time"],
    ],
)
def test_a_bound_that_is_met_is_unscannable_and_says_so(
    tools: Tools, bounds: Bounds, message: bytes
) -> None:
    report = judged(message, replace(tools, bounds=bounds))
    assert report.verdict is Verdict.UNSCANNABLE
    assert {finding.cause for finding in report.findings} == {Cause.LIMIT}


def test_what_is_encrypted_is_said_to_be(tools: Tools) -> None:
    report = judged(mail(part(encrypted(zipped({"a.txt": b"secret"})), "a.zip")), tools)
    assert {finding.cause for finding in report.findings} == {Cause.ENCRYPTED}


def test_an_ambiguity_is_a_remark_or_a_doubt_as_the_site_wants(tools: Tools) -> None:
    odd = b"Content-Type: a/b; name=a.txt\r\nContent-Disposition: inline; filename=a.png\r\n\r\n\1"
    remark = judged(mail(odd), replace(tools, remarks=frozenset({Cause.AMBIGUOUS})))
    doubt = judged(mail(odd), replace(tools, remarks=frozenset()))
    assert (remark.verdict, doubt.verdict) == (Verdict.CLEAN, Verdict.UNSCANNABLE)
    assert [finding.name for finding in remark.findings] == [
        finding.name for finding in doubt.findings
    ]


def test_the_report_survives_its_json_form(tools: Tools) -> None:
    report = judged(mail(part(zipped({"a.doc": EICAR}), "a.zip")), tools)
    assert Report.from_dict(report.as_dict()) == report


def test_patterns_of_no_lines_ban_nothing(tools: Tools) -> None:
    nothing = Patterns.parse(b"", "matches.bad")
    report = judged(mail(part(b"hello", "a.exe")), replace(tools, bad=nothing))
    assert report.verdict is Verdict.CLEAN


@pytest.mark.parametrize("charset", ["utf-16-le", "utf-16", "utf-32", "cp037", "utf-7"])
def test_text_in_a_charset_that_hides_ascii_is_read(tools: Tools, charset: str) -> None:
    program = base64.b64encode(PROGRAM).decode()
    html = f"<a href='data:application/octet-stream;base64,{program}'>x</a>"
    letters = part(html.encode(charset), "", f"text/html; charset={charset}")
    assert judged(mail(letters), tools).verdict is Verdict.BANNED


def test_a_signature_hides_no_program(tools: Tools) -> None:
    inner = mail(part(PROGRAM, "x.exe"), boundary="b2")
    report = judged(
        mail(part(specimens.smime(inner), "smime.p7m", "application/pkcs7-mime")), tools
    )
    assert report.verdict is Verdict.BANNED
    assert report.findings[0].path[-1] == "x.exe"


def test_a_message_for_its_reader_alone_is_noted_or_held_as_the_site_wants(tools: Tools) -> None:
    sealed = mail(part(specimens.smime(b"?", kind=3), "smime.p7m", "application/pkcs7-mime"))
    assert judged(sealed, tools).verdict is Verdict.CLEAN
    assert judged(sealed, replace(tools, remarks=frozenset())).verdict is Verdict.UNSCANNABLE
