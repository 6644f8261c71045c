"""Non-delivery reports, read back as a mail program reads them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spoolscan.envelope import Envelope, Recipient, ScanMark
from spoolscan.errors import ConfigError
from spoolscan.forwarder import dsn
from spoolscan.forwarder.delivery import Fate, Outcome, Success, Wish
from spoolscan.notices import Templates, post
from spoolscan.spool import Spool

ETC = Path(__file__).parent.parent / "etc" / "templates"
ARRIVED = datetime(2026, 11, 21, 5, 30, tzinfo=UTC)
HEADER = b"Received: by me.test\r\nSubject: the offer\r\n\r\nSECRET BODY\r\n"
UNKNOWN = Outcome(Fate.REFUSED, "5.1.1", "550 5.1.1 no such user", "192.0.2.9:25")
LATE = Outcome(Fate.DEFERRED, "4.4.1", "mail.test:25: connection refused")
BOB = dsn.Item("bob@example.com", UNKNOWN)
TEXTS = Templates([ETC])


def raw_report(
    spool: Spool,
    *items: dsn.Item,
    kind: dsn.Kind = dsn.FAILURE,
    sender: str = "alice@example.org",
    header: bytes = HEADER,
    texts: Templates = TEXTS,
    extras: tuple[tuple[str, str], ...] = (),
    scan: str = "clean",
) -> bytes:
    """Built, put into the spool, and taken out of it."""
    original = Envelope(
        sender,
        (Recipient("bob@example.com"),),
        arrived=ARRIVED,
        scan=ScanMark(scan),
        extras=extras,
    )
    report = dsn.build(
        texts,
        "me.test",
        original,
        kind,
        queue_id="q1",
        content=header,
        items=items or (BOB,),
        until=ARRIVED + timedelta(days=5),
    )
    queue_id = post(spool, report, sender)
    with spool.open("outgoing", queue_id) as message:
        assert message.envelope.sender == ""
        assert [item.address for item in message.envelope.recipients] == [sender]
        assert not message.envelope.scan.clean
        return message.read()


def parsed(raw: bytes) -> EmailMessage:
    report = message_from_bytes(raw, policy=SMTP)
    assert isinstance(report, EmailMessage)
    return report


def parts(raw: bytes) -> list[EmailMessage]:
    found = parsed(raw).get_payload()
    assert isinstance(found, list)
    return found


def blocks(raw: bytes) -> list[dict[str, str]]:
    """The fields of message/delivery-status: of the message, then of each recipient."""
    found = parts(raw)[1].get_payload()
    return [{name: str(value) for name, value in block.items()} for block in found]


def test_is_a_report_in_three_parts(spool: Spool) -> None:
    report = parsed(raw_report(spool))
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    assert [part.get_content_type() for part in parts(report.as_bytes())] == [
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ]


def test_nothing_will_answer_it(spool: Spool) -> None:
    report = parsed(raw_report(spool))
    assert report["Auto-Submitted"] == "auto-replied"
    assert report["From"] == "Mail Delivery System <MAILER-DAEMON@me.test>"
    assert report["To"] == "alice@example.org"
    assert report["MIME-Version"] == "1.0"
    for name in ("Date", "Message-ID", "Subject", "MIME-Version", "Content-Type"):
        assert len(report.get_all(name)) == 1


def test_says_in_words_what_went_wrong_with_whom(spool: Spool) -> None:
    raw = raw_report(spool, BOB, dsn.Item("carol@example.com", LATE))
    text = parts(raw)[0].get_content()
    for word in ("<bob@example.com>", "550 5.1.1 no such user", "192.0.2.9:25", "q1", "me.test"):
        assert word in text
    assert "<carol@example.com>" in text
    assert "connection refused" in text


def test_says_it_for_programs(spool: Spool) -> None:
    whole, bob, carol = blocks(raw_report(spool, BOB, dsn.Item("carol@example.com", LATE)))
    assert whole["Reporting-MTA"] == "dns; me.test"
    assert whole["Arrival-Date"] == "Sat, 21 Nov 2026 05:30:00 +0000"
    assert bob["Final-Recipient"] == "rfc822; bob@example.com"
    assert bob["Action"] == "failed"
    assert bob["Status"] == "5.1.1"
    assert bob["Remote-MTA"] == "dns; 192.0.2.9:25"
    assert bob["Diagnostic-Code"] == "smtp; 550 5.1.1 no such user"
    assert carol["Status"] == "4.4.1"
    assert carol["Diagnostic-Code"] == "x-spoolscan; mail.test:25: connection refused"
    assert "Remote-MTA" not in carol


def test_sends_the_header_back_and_not_the_body(spool: Spool) -> None:
    raw = raw_report(spool)
    assert parts(raw)[2].get_content() == "Received: by me.test\r\nSubject: the offer\r\n"
    assert b"SECRET" not in raw


def test_sends_back_no_more_than_a_little_of_a_long_header(spool: Spool) -> None:
    raw = raw_report(spool, header=b"X-Long: abcdefghi\r\n" * 3000)
    shown = parts(raw)[2].get_content()
    assert 15_000 < len(shown) < dsn.HEADER_LIMIT + 100
    assert shown.endswith("X-Long: abcdefghi\r\n")


def test_a_long_address_stays_one_word(spool: Spool) -> None:
    address = "b" * 320 + "@example.com"
    assert blocks(raw_report(spool, dsn.Item(address, UNKNOWN)))[1]["Final-Recipient"] == (
        f"rfc822; {address}"
    )


HOSTILE = [
    "a@b\r\nBcc: victim@example.net",
    "a@b\n\n<script>",
    "\x1b[31m@b",
    "jürgen@exämple.com",
    "a\u202eb@c",
    "\udcff@b",
    "{{ 7*7 }}@b",
    '"a b"@c',
    "a@b, c@d",
    "x" * 5000,
    "=?utf-8?q?=0a?=@b",
]


@pytest.mark.parametrize("word", HOSTILE)
def test_no_word_of_a_peer_gets_out_of_its_place(spool: Spool, word: str) -> None:
    clean = parsed(raw_report(spool))
    outcome = Outcome(Fate.REFUSED, "5.0.0", word, word)
    raw = raw_report(
        spool, dsn.Item(word, outcome), sender=word, header=word.encode("utf-8", "replace")
    )
    assert raw.isascii()
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    assert raw.count(b"\r") == raw.count(b"\n") == raw.count(b"\r\n")
    assert b"\x1b" not in raw
    report = parsed(raw)
    assert report.keys() == clean.keys()
    assert len(parts(raw)) == 3
    assert [list(block) for block in blocks(raw)] == [
        list(block) for block in blocks(raw_report(spool))
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.binary(max_size=300), st.text(max_size=60))
def test_it_can_always_be_made(spool: Spool, header: bytes, word: str) -> None:
    failure = dsn.Item(word, Outcome(Fate.REFUSED, "5.0.0", word, word))
    raw = raw_report(spool, failure, sender=word, header=header)
    assert raw.isascii()
    assert parsed(raw).get_content_type() == "multipart/report"


@pytest.mark.parametrize("text", ["no subject\n\nx", "Subject: {{ what }}\n\n", "Subject: {% if"])
def test_a_bad_template_is_a_clear_error(spool: Spool, tmp_path: Path, text: str) -> None:
    (tmp_path / "bounce.txt").write_text(text)
    with pytest.raises(ConfigError, match=r"bounce\.txt"):
        raw_report(spool, texts=Templates([tmp_path]))


# What a sender asked for (RFC 3461)


@pytest.mark.parametrize(
    ("notify", "wanted"),
    [
        ("", {"FAILURE", "DELAY"}),
        ("NEVER", set()),
        ("SUCCESS", {"SUCCESS"}),
        ("failure,success", {"FAILURE", "SUCCESS"}),
        ("DELAY", {"DELAY"}),
    ],
)
def test_a_sender_is_told_what_he_asked_for(notify: str, wanted: set[str]) -> None:
    kinds = (dsn.FAILURE, dsn.DELAY, dsn.SUCCESS)
    assert {kind.word for kind in kinds if kind.is_wanted(notify)} == wanted


def test_his_own_names_for_message_and_recipient_come_back(spool: Spool) -> None:
    item = replace(BOB, wish=Wish(orcpt="rfc822;Bob+2BTag@example.com"))
    raw = raw_report(spool, item, extras=(("ENVI", "QQ+2B1"), ("RETN", "HDRS")))
    whole, bob = blocks(raw)
    assert whole["Original-Envelope-Id"] == "QQ+1"
    assert bob["Original-Recipient"] == "rfc822; Bob+Tag@example.com"


@pytest.mark.parametrize(
    "word", ["rfc822;a+0D+0ABcc: x@y", "a;b;c", ";", "x" * 3000, "+2", "a+ZZ;b"]
)
def test_nor_do_these_get_out_of_their_place(spool: Spool, word: str) -> None:
    raw = raw_report(spool, replace(BOB, wish=Wish(orcpt=word)), extras=(("ENVI", word),))
    assert raw.isascii()
    assert set(blocks(raw)[1]) <= {*blocks(raw_report(spool))[1], "Original-Recipient"}
    assert parsed(raw).keys() == parsed(raw_report(spool)).keys()


def test_late_mail_is_told_with_how_long_it_is_tried(spool: Spool) -> None:
    raw = raw_report(spool, dsn.Item("carol@example.com", LATE), kind=dsn.DELAY)
    (_, carol) = blocks(raw)
    assert (carol["Action"], carol["Status"]) == ("delayed", "4.4.1")
    assert carol["Will-Retry-Until"] == "Thu, 26 Nov 2026 05:30:00 +0000"
    assert "tried until Thu, 26 Nov 2026" in parts(raw)[0].get_content()
    assert parsed(raw)["Auto-Submitted"] == "auto-replied"


@pytest.mark.parametrize("success", [Success.RELAYED, Success.DELIVERED])
def test_success_says_whether_it_was_delivered_or_passed_on(spool: Spool, success: Success) -> None:
    done = Outcome(Fate.DELIVERED, "2.0.0", "250 ok", success=success)
    raw = raw_report(spool, dsn.Item("carol@example.com", done), kind=dsn.SUCCESS)
    assert blocks(raw)[1]["Action"] == success.value
    assert ("was delivered" in parts(raw)[0].get_content()) is (success is Success.DELIVERED)


FULL = (("RETN", "FULL"),)


def test_a_small_message_comes_back_whole_where_that_was_asked_for(spool: Spool) -> None:
    original = parts(raw_report(spool, extras=FULL))[2]
    assert original.get_content_type() == "message/rfc822"
    assert original.as_bytes().endswith(HEADER)


@pytest.mark.parametrize(
    "header",
    [
        HEADER + b"x" * 900 + b"\r\n" + b"y\r\n" * dsn.FULL_LIMIT,
        HEADER + b"\xe9\r\n",
        HEADER + b"x" * 999 + b"\r\n",
    ],
    ids=["large", "8-bit", "long lines"],
)
def test_one_that_cannot_stand_in_a_report_comes_back_as_its_header(
    spool: Spool, header: bytes
) -> None:
    raw = raw_report(spool, header=header, extras=FULL)
    assert parts(raw)[2].get_content_type() == "text/rfc822-headers"
    assert b"SECRET" not in raw


@pytest.mark.parametrize("scan", ["-", "released", "infected"])
def test_nor_does_one_that_nobody_found_clean(spool: Spool, scan: str) -> None:
    raw = raw_report(spool, extras=FULL, scan=scan)
    assert parts(raw)[2].get_content_type() == "text/rfc822-headers"
    assert b"SECRET" not in raw


def test_nor_does_it_where_it_is_no_failure(spool: Spool) -> None:
    raw = raw_report(spool, dsn.Item("c@example.com", LATE), kind=dsn.DELAY, extras=FULL)
    assert b"SECRET" not in raw
