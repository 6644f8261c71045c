"""What the session speaks beyond RFC 5321, without a socket: all of it at once, SMTPUTF8 and DSN.

BDAT, STARTTLS, AUTH, LMTP and XCLIENT have files of their own.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import sessionfuzz
from hypothesis import given, settings
from hypothesis import strategies as st
from smuggled import INJECTED
from talk import (
    ENVELOPE,
    HELLO,
    LHLO,
    LMTP,
    PATHS,
    PROXY,
    TERMS,
    THREE,
    WITH_TLS,
    Talk,
    chunk,
    talk,
)

from spoolscan.domain import a_labels
from spoolscan.receiver.events import Mail, Rcpt, State, Terms

# -- any split -------------------------------------------------------------------------------------

CONVERSATION = [
    HELLO,
    b"NOOP\r\n" + PATHS + chunk(b"a\r\n.\r\nb") + chunk(b"\r\nQUIT\r\n", last=True) + PATHS,
    b"RSET\r\nmail from:<x@y.example> smtputf8\r\nRCPT TO:<" + "ä".encode() + b"@z.example>\r\n",
    b"DATA\r\n",
    b"..\r\nline\r\n.\r\n" + PATHS + b"BDAT 3\r\nabcRSET\r\nVRFY x\r\nNONSENSE\r\n",
    b"QUIT\r\n",
]


@settings(max_examples=200)
@given(st.data())
def test_however_it_is_cut_into_segments_the_conversation_is_the_same(data: st.DataObject) -> None:
    expected = talk(*CONVERSATION)
    assert len(expected.messages) == 2
    segments: list[bytes] = []
    for group in CONVERSATION:
        places = sorted(data.draw(st.lists(st.integers(0, len(group)), max_size=8)))
        edges = [0, *places, len(group)]
        segments += [group[start:end] for start, end in itertools.pairwise(edges)]
    done = talk(*segments)
    assert done.output == expected.output
    assert done.messages == expected.messages
    assert done.envelopes == expected.envelopes


# -- SMTPUTF8 (RFC 6531) ---------------------------------------------------------------------------


def test_an_address_in_utf8_is_taken_where_it_was_announced() -> None:
    group = (
        "MAIL FROM:<jürgen@bücher.example> SMTPUTF8\r\nRCPT TO:<δοκιμή@site.example>\r\nDATA\r\n"
    )
    (start,) = talk(HELLO, group.encode()).envelopes
    assert start.mail.utf8
    assert start.mail.sender.text == "jürgen@bücher.example"
    assert start.mail.sender.domain == "xn--bcher-kva.example"
    assert start.recipients[0].recipient.local == "δοκιμή"


@pytest.mark.parametrize("name", ["straße", "STRAẞE", "ας", "exam\ufe0fple", "example。com"])
def test_a_domain_that_can_be_read_as_two_is_none(name: str) -> None:
    """Ours by the IDNA of 2003, somebody else's by that of 2008: the next hop would relay."""
    group = f"MAIL FROM:<a@b.example> SMTPUTF8\r\nRCPT TO:<bob@{name}.example>\r\n"
    assert talk(HELLO, group.encode()).codes[-1] == "501"


@pytest.mark.parametrize("name", ["bücher", "BÜCHER", "bu\u0308cher"])
def test_a_domain_has_one_spelling_in_ascii(name: str) -> None:
    assert a_labels(f"{name}.Example") == "xn--bcher-kva.example"


def test_without_the_keyword_no_address_is_in_utf8() -> None:
    group = "MAIL FROM:<a@b.example>\r\nRCPT TO:<δοκιμή@site.example>\r\n"
    assert talk(HELLO, group.encode()).codes[-1] == "501"
    assert talk(HELLO, "MAIL FROM:<jürgen@b.example>\r\n".encode()).codes[-1] == "501"


@pytest.mark.parametrize(
    "address",
    [
        b"\xff@site.example",
        b"a\xc2\x85b@site.example",
        *(
            text.encode()
            for text in (
                "a\u202eb@site.example",
                "a\u200bb@site.example",
                "a\u2028b@site.example",
                "a\ufffdb@site.example",
                "a\u00a0b@site.example",
                "eve\uff05evil.example@site.example",
                "eve\uff20evil.example@site.example",
                "evil.example\uff01eve@site.example",
                "a@site.example\uff0cb",
                "a@site\u3002\u3002example",
                "a@site.\u00adexample\u200f",
                "@h\u00f6st:a@site.example",
                '"a\u202e"@site.example',
            )
        ),
    ],
)
def test_what_cannot_be_seen_or_becomes_ascii_is_no_address(address: bytes) -> None:
    done = talk(HELLO, b"MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<" + address + b">\r\n")
    assert done.codes[-1] == "501"


# -- DSN (RFC 3461) --------------------------------------------------------------------------------


def test_what_the_sender_wants_to_be_told_is_kept() -> None:
    group = (
        b"MAIL FROM:<a@b.example> RET=hdrs ENVID=QQ+2B314159 BODY=8BITMIME SIZE=10\r\n"
        b"RCPT TO:<c@d.example> NOTIFY=success,DELAY ORCPT=rfc822;Bob+2BX@d.example\r\n"
        b"RCPT TO:<e@d.example> NOTIFY=NEVER\r\nDATA\r\n"
    )
    (start,) = talk(HELLO, group).envelopes
    assert start.mail == Mail(start.mail.sender, 10, "8BITMIME", False, "HDRS", "QQ+314159")
    one, two = start.recipients
    assert (one.notify, one.orcpt) == ("SUCCESS,DELAY", "rfc822;Bob+X@d.example")
    assert two == Rcpt(two.recipient, "NEVER")


@pytest.mark.parametrize(
    "parameters",
    [
        b"RET=BOTH",
        b"RET",
        b"RET=FULL RET=HDRS",
        b"ENVID=a+0D+0ABcc:x",
        b"ENVID=a+0d",
        b"ENVID=a+",
        b"ENVID=a+E4b",
        b"ENVID=" + b"x" * 101,
        b"ENVID=\xc3\xa4",
        b"SIZE=" + "٣".encode(),
        b"AUTH=a+0Ab",
    ],
)
def test_a_bad_parameter_of_mail_is_refused(parameters: bytes) -> None:
    done = talk(HELLO, b"MAIL FROM:<a@b.example> " + parameters + b"\r\n", terms=WITH_TLS)
    assert done.codes[-1] == "501"
    assert done.session.state is State.READY


@pytest.mark.parametrize(
    "parameters",
    [
        b"NOTIFY=NEVER,SUCCESS",
        b"NOTIFY=SUCCESS,SUCCESS",
        b"NOTIFY=",
        b"NOTIFY=ALWAYS",
        b"NOTIFY=SUCCESS,",
        b"ORCPT=bob@d.example",
        b"ORCPT=rfc822;",
        b"ORCPT=;bob",
        b"ORCPT=rfc822;a+0D+0Ab",
        b"ORCPT=rfc822;a+1Bb",
        b"ORCPT=rf c822;a",
        b"ORCPT=rfc822;" + b"x" * 500,
        b"ORCPT=utf-8;\xc3\xa4@d.example",
    ],
)
def test_a_bad_parameter_of_rcpt_is_refused(parameters: bytes) -> None:
    group = b"MAIL FROM:<>\r\nRCPT TO:<c@d.example> " + parameters + b"\r\n"
    done = talk(HELLO, group)
    assert done.codes[-1] in ("501", "555")
    assert done.session.state is State.MAIL


def test_an_original_recipient_may_be_in_utf8_where_that_was_announced() -> None:
    group = "MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<c@d.example> ORCPT=utf-8;ä@d.example\r\nDATA\r\n"
    (start,) = talk(HELLO, group.encode()).envelopes
    assert start.recipients[0].orcpt == "utf-8;ä@d.example"


# -- fuzz ------------------------------------------------------------------------------------------

LINES = [
    HELLO,
    LHLO,
    PATHS,
    ENVELOPE,
    THREE,
    *INJECTED,
    b"BDAT ",
    b"BDAT 3\r\n",
    b"AUTH LOGIN\r\n",
    b"*\r\n",
    b"a\r\n.\r\n",
    b" SMTPUTF8",
    b" ORCPT=rfc822;",
    b"0 LAST\r\n",
]


@settings(max_examples=300)
@given(
    st.sampled_from([TERMS, WITH_TLS, PROXY, LMTP, replace(WITH_TLS, proxy=True, lmtp=True)]),
    st.lists(st.one_of(st.sampled_from(LINES), st.binary(max_size=30)), max_size=40),
)
def test_no_bytes_make_a_session_with_all_extensions_raise(
    terms: Terms, segments: list[bytes]
) -> None:
    done = Talk(terms).run(segments)
    assert done.session.state in State
    for line in done.output.split(b"\r\n"):
        assert all(0x20 <= byte <= 0x7E for byte in line)
    for message in done.messages:
        assert message.count(b"\r") == message.count(b"\n") == message.count(b"\r\n")


def test_fuzzed_conversations_break_nothing() -> None:
    tally = sessionfuzz.rounds(3000, 1)
    assert not [crash.story for crash in tally.crashes.values()]
    assert tally.inputs == 3000
    assert tally.messages > 200
    assert {"CLOSED", "READY", "MAIL", "RCPT", "BDAT", "DATA", "AUTH"} <= set(tally.states)
