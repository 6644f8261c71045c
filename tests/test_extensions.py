"""What the session speaks beyond RFC 5321, without a socket: BDAT, SMTPUTF8, DSN, STARTTLS, AUTH,
LMTP, XCLIENT and XFORWARD.

Long, because the tables of what is taken and what is refused are read best side by side.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest
import sessionfuzz
from hypothesis import given, settings
from hypothesis import strategies as st
from smuggled import FALSE_ENDS, INJECTED, SMUGGLED
from talk import ENVELOPE, HELLO, LHLO, LMTP, PATHS, PROXY, TERMS, WITH_TLS, Talk, chunk, cuts, talk

from spoolscan.domain import a_labels
from spoolscan.receiver.attributes import NOTHING, Attributes
from spoolscan.receiver.chunked import Chunked
from spoolscan.receiver.conduct import LOGINS
from spoolscan.receiver.dotted import BareLF
from spoolscan.receiver.events import Chunk, Mail, Rcpt, StartTLS, State, Terms
from spoolscan.receiver.reply import OK, Reply
from spoolscan.receiver.session import Session

# -- BDAT (RFC 3030) -------------------------------------------------------------------------------


def test_a_message_comes_in_chunks() -> None:
    body = chunk(b"Subject: x\r\n\r\n.one\r") + chunk(b"\n.\r\n") + chunk(b"", last=True)
    for segments in cuts(PATHS + body):
        done = talk(HELLO, *segments)
        assert done.messages == [b"Subject: x\r\n\r\n.one\r\n.\r\n"]
        assert done.codes == ["250"] * 6
        assert done.envelopes[0].chunked
        assert done.session.state is State.READY


def test_chunks_of_several_messages_go_in_one_segment() -> None:
    done = talk(HELLO, PATHS + chunk(b"one\r\n", last=True) + PATHS + chunk(b"two", last=True))
    assert done.messages == [b"one\r\n", b"two\r\n"]


@pytest.mark.parametrize("terms", [TERMS, replace(TERMS, bare_lf=BareLF.NORMALISE)])
@pytest.mark.parametrize("end", FALSE_ENDS)
def test_nothing_in_a_chunk_is_a_command_or_an_end(end: bytes, terms: Terms) -> None:
    body = b"Subject: x\r\n\r\nhello" + end + SMUGGLED + b"evil\r\n.\r\n"
    wire = PATHS + chunk(body, last=True) + b"NOOP\r\n"
    outcomes = set()
    for segments in cuts(wire):
        done = talk(HELLO, *segments, terms=terms)
        assert len(done.envelopes) == 1
        assert len(done.messages) + len(done.refused) == 1
        assert done.codes[-1] == "250"
        assert done.session.state is State.READY
        for message in done.messages:
            stray = message.replace(b"\r\n", b"")
            assert not {b"\r", b"\n", b"\0"} & {stray[i : i + 1] for i in range(len(stray))}
        outcomes.add((tuple(done.messages), tuple(done.codes)))
    assert len(outcomes) == 1


def test_a_line_end_may_be_cut_by_a_chunk_but_not_be_half_a_one() -> None:
    assert talk(HELLO, PATHS + chunk(b"a\r") + chunk(b"\n", last=True)).messages == [b"a\r\n"]
    for pieces in ([b"a\r", b"b"], [b"a\r", b""], [b"a\0"], [b"a\n"], [b"a", b"\n"]):
        chunks = [chunk(piece) for piece in pieces[:-1]] + [chunk(pieces[-1], last=True)]
        done = talk(HELLO, PATHS + b"".join(chunks))
        assert done.messages == []
        assert done.replies[-1].startswith("554 5.6.0")


@pytest.mark.parametrize(
    ("before", "code"),
    [((), "554"), ((HELLO,), "503"), ((HELLO, b"MAIL FROM:<>\r\n"), "503")],
)
def test_a_chunk_out_of_order_is_dropped_and_no_byte_of_it_is_a_command(
    before: Sequence[bytes], code: str
) -> None:
    done = talk(*before, chunk(b"QUIT\r\nNOOP\r\n" + PATHS) + b"NOOP\r\n")
    assert done.codes[-2:] == ([code, "250"] if code == "503" else ["554"])
    assert done.envelopes == []


@pytest.mark.parametrize(
    "argument", [b"", b"x", b"-1", b"1 LAST LAST", b"1 FIRST", b"9" * 21, b"1.0", "٣".encode()]
)
def test_a_chunk_of_no_known_size_ends_the_session(argument: bytes) -> None:
    done = talk(HELLO, PATHS + b"BDAT " + argument + b"\r\nQUIT\r\n")
    assert done.closed
    assert done.codes[-1] == "501"


def test_chunks_over_the_limit_are_refused_before_they_come_and_cut_off_in_time() -> None:
    done = talk(HELLO, PATHS + chunk(b"x" * 60_000) + chunk(b"x" * 50_000, last=True) + b"NOOP\r\n")
    assert [reply.code for reply in done.refused] == [552]
    assert done.codes[-3:] == ["250", "552", "250"]
    endless = talk(HELLO, PATHS + b"BDAT 99999999999999999999 LAST\r\n", *[b"x" * 50_000] * 4)
    assert endless.codes[-1] == "552"
    assert endless.closed
    assert endless.largest == 0


def test_data_and_bdat_are_not_mixed() -> None:
    done = talk(HELLO, PATHS + chunk(b"one\r\n"), b"DATA\r\n", PATHS)
    assert set(done.codes[-3:]) == {"503"}
    assert done.session.state is State.BDAT


@pytest.mark.parametrize("word", [b"RSET\r\n", HELLO])
def test_a_message_is_given_up_between_two_chunks(word: bytes) -> None:
    done = talk(HELLO, PATHS + chunk(b"one\r\n"), word, PATHS + chunk(b"two\r\n", last=True))
    assert done.abandoned == 1
    assert done.messages == [b"two\r\n"]


def test_a_refused_first_chunk_is_dropped_and_so_are_those_behind_it() -> None:
    later = Reply(452, "4.3.1", "no room")
    done = Talk(data_reply=later).run([HELLO, PATHS + chunk(b"QUIT\r\n") + chunk(b"x", last=True)])
    assert done.codes[-2:] == ["452", "503"]
    assert done.messages == []


def test_a_driver_refuses_between_two_chunks() -> None:
    done = talk(HELLO, PATHS + chunk(b"one\r\n"))
    done.session.refuse_message(Reply(452, "4.3.1", "no room"))
    done.session.receive_data(chunk(b"two\r\n", last=True) + b"NOOP\r\n")
    done.settle()
    assert done.codes[-2:] == ["452", "250"]
    assert done.messages == []


def test_chunks_of_nothing_end_the_session() -> None:
    done = talk(HELLO, PATHS + b"BDAT 0\r\n" * 200)
    assert done.codes[-1] == "421"
    assert done.closed


@given(st.lists(st.binary(max_size=12), min_size=1, max_size=6), st.booleans())
def test_a_body_is_the_same_however_it_is_cut_into_chunks(pieces: list[bytes], soft: bool) -> None:
    mode = BareLF.NORMALISE if soft else BareLF.REFUSE
    whole, cut = Chunked(mode), Chunked(mode)
    text = b"".join(pieces)
    whole.expect(len(text), last=True)
    expected = whole.feed(text)
    given_out = b""
    for number, piece in enumerate(pieces, 1):
        cut.expect(len(piece), last=number == len(pieces))
        given_out += cut.feed(piece)
    assert cut.ended
    assert cut.fault == whole.fault or {cut.fault, whole.fault} <= {"NUL", "bare CR", "bare LF"}
    assert bool(cut.fault) == bool(whole.fault)
    assert whole.fault or given_out == expected


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


# -- STARTTLS (RFC 3207; threat 5R) ----------------------------------------------------------------


def test_starttls_is_offered_once_and_begins_the_session_anew() -> None:
    done = talk(HELLO, b"STARTTLS\r\n", b"MAIL FROM:<>\r\n", HELLO, b"STARTTLS\r\n", terms=WITH_TLS)
    assert done.codes == ["250", "220", "503", "250", "503"]
    before, _, after = done.output.partition(b"220 2.0.0 ")
    assert b"250-STARTTLS" not in after
    assert b"STARTTLS" in before
    assert b"AUTH" not in before
    assert b"250 AUTH PLAIN LOGIN\r\n" in after


@pytest.mark.parametrize("injected", INJECTED)
def test_nothing_said_in_the_clear_behind_starttls_is_heard(injected: bytes) -> None:
    assert len(INJECTED) == 20
    together = talk(HELLO, b"STARTTLS\r\n" + injected, terms=WITH_TLS)
    assert together.codes == ["250", "554"]
    assert together.closed

    session = Session(WITH_TLS)
    session.greet()
    session.receive_data(HELLO)
    session.next_event()
    session.receive_data(b"STARTTLS\r\n")
    assert session.next_event() == StartTLS()
    session.receive_data(injected)  # before the handshake, behind our 220
    assert session.state is State.CLOSED
    with pytest.raises(RuntimeError):
        session.secured("TLSv1.3 X")


def test_without_a_certificate_there_is_no_starttls() -> None:
    assert talk(HELLO, b"STARTTLS\r\n").codes[-1] == "502"
    assert talk(HELLO, b"STARTTLS now\r\n", terms=WITH_TLS).codes[-1] == "501"


def test_a_driver_that_breaks_the_rules_of_tls_is_told() -> None:
    session = Session(WITH_TLS)
    session.greet()
    with pytest.raises(RuntimeError):
        session.secured("TLSv1.3 X")
    session.receive_data(b"STARTTLS\r\n")
    session.next_event()
    with pytest.raises(RuntimeError):
        session.next_event()


# -- AUTH (RFC 4954) -------------------------------------------------------------------------------

PLAIN = base64.b64encode(b"\0alice\0secret")
WRONG = base64.b64encode(b"\0alice\0guess")
TLS = (HELLO, b"STARTTLS\r\n", HELLO)


@pytest.mark.parametrize(
    "lines",
    [
        [b"AUTH PLAIN " + PLAIN],
        [b"auth plain", PLAIN],
        [b"AUTH PLAIN " + base64.b64encode(b"alice\0alice\0secret")],
        [b"AUTH LOGIN", b"YWxpY2U=", b"c2VjcmV0"],
        [b"AUTH LOGIN YWxpY2U=", b"c2VjcmV0"],
    ],
)
def test_a_user_logs_in_under_tls(lines: list[bytes]) -> None:
    done = talk(*TLS, *(line + b"\r\n" for line in lines), terms=WITH_TLS)
    assert [(login.user, login.password) for login in done.logins] == [("alice", "secret")]
    assert done.codes[-1] == "235"
    assert done.session.user == "alice"
    assert "secret" not in repr(done.logins)
    again = talk(
        *TLS, *(line + b"\r\n" for line in lines), HELLO, lines[0] + b"\r\n", terms=WITH_TLS
    )
    assert again.codes[-1] == "503"
    assert b"AUTH" not in again.output.rpartition(b"235 ")[2]


def test_nobody_logs_in_in_the_clear_or_where_it_is_off() -> None:
    assert talk(HELLO, b"AUTH PLAIN " + PLAIN + b"\r\n", terms=WITH_TLS).codes[-1] == "538"
    off = replace(WITH_TLS, auth=False)
    assert talk(*TLS, b"AUTH PLAIN " + PLAIN + b"\r\n", terms=off).codes[-1] == "502"


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([b"AUTH"], "504"),
        ([b"AUTH CRAM-MD5"], "504"),
        ([b"AUTH PLAIN", b"*"], "501"),
        ([b"AUTH PLAIN", b"!!!!"], "501"),
        ([b"AUTH PLAIN", b"\xff\xfe"], "501"),
        ([b"AUTH PLAIN ="], "501"),
        ([b"AUTH PLAIN " + base64.b64encode(b"alice\0secret")], "501"),
        ([b"AUTH PLAIN " + base64.b64encode(b"bob\0alice\0secret")], "501"),
        ([b"AUTH PLAIN " + base64.b64encode(b"\0\0secret")], "501"),
        ([b"AUTH PLAIN " + base64.b64encode(b"\0a\xff\0secret")], "501"),
        ([b"AUTH PLAIN " + base64.b64encode(b"\0a\nb\0secret")], "501"),
        ([b"AUTH PLAIN " + base64.b64encode(b"\0" + b"a" * 256 + b"\0x")], "501"),
        ([b"AUTH LOGIN", b"*"], "501"),
        ([b"AUTH LOGIN", b"YWxpY2U=", b"*"], "501"),
        ([b"AUTH PLAIN " + WRONG], "535"),
    ],
)
def test_what_is_no_login_is_refused_and_the_session_goes_on(lines: list[bytes], code: str) -> None:
    done = talk(*TLS, *(line + b"\r\n" for line in lines), b"NOOP\r\n", terms=WITH_TLS)
    assert done.codes[-2:] == [code, "250"]
    assert done.session.user == ""


def test_wrong_passwords_end_the_session() -> None:
    done = talk(*TLS, *[b"AUTH PLAIN " + WRONG + b"\r\n"] * 5, terms=WITH_TLS)
    assert done.codes[-2:] == ["535", "421"]
    assert len(done.logins) == LOGINS
    assert done.closed


def test_an_answer_is_not_pipelined() -> None:
    done = talk(*TLS, b"AUTH LOGIN\r\n", b"YWxpY2U=\r\nc2VjcmV0\r\n", terms=WITH_TLS)
    assert done.codes[-1] == "554"
    assert done.closed


# -- LMTP (RFC 2033) -------------------------------------------------------------------------------

THREE = b"MAIL FROM:<>\r\n" + b"".join(b"RCPT TO:<%d@d.example>\r\n" % n for n in range(3))


@pytest.mark.parametrize("chunked", [False, True])
def test_lmtp_answers_once_for_each_recipient(chunked: bool) -> None:
    def deliver(body: bytes) -> Talk:
        data = (
            [THREE + chunk(body, last=True)] if chunked else [THREE, b"DATA\r\n", body + b".\r\n"]
        )
        return talk(LHLO, *data, b"NOOP\r\n", terms=LMTP)

    taken = deliver(b"x\r\n")
    assert taken.messages == [b"x\r\n"]
    assert taken.codes == ["250"] * 5 + ([] if chunked else ["354"]) + ["250"] * 4
    assert deliver(b"\0\r\n").codes[-4:] == ["554"] * 3 + ["250"]


def test_lmtp_and_smtp_greet_with_their_own_words() -> None:
    assert talk(LHLO).codes == ["502"]
    for word in (b"EHLO", b"HELO"):
        assert talk(word + b" x\r\n", terms=LMTP).codes == ["502"]


def test_an_error_before_the_message_is_answered_once() -> None:
    later = Reply(451, "4.3.0", "later")
    done = Talk(LMTP, data_reply=later).run([LHLO, THREE, b"DATA\r\n", b"NOOP\r\n"])
    assert done.codes[-2:] == ["451", "250"]


# -- XCLIENT and XFORWARD --------------------------------------------------------------------------


def test_xclient_begins_anew_with_somebody_else() -> None:
    line = b"XCLIENT ADDR=IPV6:2001:db8::1 NAME=Spike.Example HELO=x+2By LOGIN=alice PORT=25\r\n"
    done = talk(HELLO, line, b"MAIL FROM:<>\r\n", HELLO, terms=PROXY)
    assert done.codes == ["250", "220", "503", "250"]
    assert done.session.peer == Attributes("spike.example", "2001:db8::1", "x+y", "alice")
    assert done.session.user == "alice"
    assert done.session.helo == "x+y"


def test_what_is_not_there_is_said_to_be_not_there() -> None:
    line = b"XCLIENT NAME=[TEMPUNAVAIL] ADDR=[unavailable]\r\n"
    assert talk(HELLO, line, terms=PROXY).session.peer == Attributes("", "")


def test_xforward_is_for_one_message() -> None:
    lines = [b"XFORWARD NAME=[UNAVAILABLE] ADDR=192.0.2.1\r\n", b"XFORWARD HELO=h IDENT=1A PROTO=X"]
    done = talk(HELLO, lines[0] + lines[1] + b"\r\n" + PATHS + chunk(b"x", last=True) + ENVELOPE,
                terms=PROXY)  # fmt: skip
    first, second = done.envelopes
    assert first.origin == Attributes("", "192.0.2.1", "h")
    assert second.origin == NOTHING


@pytest.mark.parametrize("verb", [b"XCLIENT", b"XFORWARD"])
@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"ADDR",
        b"ADDR=",
        b"ADDR=1.2.3",
        b"ADDR=1.2.3.4%eth0",
        b"ADDR=fe80::1%eth0",
        b"NAME=a+0D+0Ab",
        b"NAME=a_\xc3\xa4",
        b"NAME=" + b"a" * 256,
        b"HELO=a+0Ab",
        b"HELO=a+1b",
        b"PORT=x",
        b"PORT=123456",
        b"COLOUR=red",
    ],
)
def test_malformed_attributes_are_refused(verb: bytes, words: bytes) -> None:
    done = talk(HELLO, verb + b" " + words + b"\r\n", terms=PROXY)
    assert done.codes[-1] == "501"
    assert done.session.peer == done.session.origin == NOTHING


def test_who_is_not_named_may_not_speak_for_others() -> None:
    for line in (b"XCLIENT ADDR=127.0.0.1\r\n", b"XFORWARD ADDR=127.0.0.1\r\n"):
        assert talk(HELLO, line).codes[-1] == "502"
    for line in (b"XCLIENT ADDR=127.0.0.1\r\n", b"XFORWARD ADDR=127.0.0.1\r\n"):
        assert talk(HELLO, PATHS, line, terms=PROXY).codes[-1] == "503"


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


def test_a_chunk_that_was_handed_out_is_not_lost_to_a_refusal() -> None:
    done = talk(HELLO)
    done.session.receive_data(PATHS + chunk(b"one\r\n", last=True) + b"NOOP\r\n")
    event = done.session.next_event()
    while not isinstance(event, Chunk):
        done.session.answer(OK)
        event = done.session.next_event()
    done.session.refuse_message(Reply(451, "4.3.0", "broken"))
    done.settle()
    assert done.codes[-2:] == ["451", "250"]
    assert done.messages == []


def test_fuzzed_conversations_break_nothing() -> None:
    tally = sessionfuzz.rounds(3000, 1)
    assert not [crash.story for crash in tally.crashes.values()]
    assert tally.inputs == 3000
    assert tally.messages > 200
    assert {"CLOSED", "READY", "MAIL", "RCPT", "BDAT", "DATA", "AUTH"} <= set(tally.states)
