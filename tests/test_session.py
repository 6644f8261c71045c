"""The SMTP session without a socket: every command in every state, any bytes, any segmentation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from talk import ENVELOPE, HELLO, LENIENT, TERMS, Talk, send, talk

from spoolscan.receiver.commands import TABLE
from spoolscan.receiver.events import DataStarts, State
from spoolscan.receiver.reply import GO_AHEAD, OK, Reply
from spoolscan.receiver.session import LINE_BYTES

# -- commands --------------------------------------------------------------------------------------


def test_the_banner_is_the_first_thing_said() -> None:
    assert talk().output == b"220 mx.example ESMTP\r\n"


def test_ehlo_offers_what_is_there() -> None:
    assert talk(HELLO).output.endswith(
        b"250-mx.example\r\n250-PIPELINING\r\n250-SIZE 100000\r\n250-8BITMIME\r\n"
        b"250-SMTPUTF8\r\n250-DSN\r\n250-CHUNKING\r\n250 ENHANCEDSTATUSCODES\r\n"
    )
    assert talk(b"HELO client.example\r\n").output.endswith(b"\r\n250 mx.example\r\n")


def test_a_message_goes_through() -> None:
    done = send(b"Subject: x\r\n\r\n..dot\r\nend\r\n.\r\n")
    assert done.messages == [b"Subject: x\r\n\r\n.dot\r\nend\r\n"]
    assert done.codes == ["250", "250", "250", "354", "250"]
    (start,) = done.envelopes
    assert start.mail.sender.text == "a@b.example"
    assert [rcpt.recipient.text for rcpt in start.recipients] == ["c@site.example"]


def test_a_group_of_commands_is_answered_in_order() -> None:
    done = talk(HELLO, b"NOOP\r\nMAIL FROM:<>\r\nRCPT TO:<x@y.example>\r\nRSET\r\nQUIT\r\n")
    assert done.codes == ["250", "250", "250", "250", "250", "221"]
    assert done.closed


def test_another_message_may_follow_its_end_at_once() -> None:
    done = send(b"one\r\n.\r\n" + ENVELOPE)
    assert done.session.state is State.DATA
    assert done.messages == [b"one\r\n"]


SETUPS = {
    State.START: (),
    State.READY: (HELLO,),
    State.MAIL: (HELLO, b"MAIL FROM:<a@b.example>\r\n"),
    State.RCPT: (HELLO, b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<c@d.example>\r\n"),
    State.BDAT: (HELLO, b"MAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nBDAT 4\r\nab\r\n"),
}
FULL = replace(TERMS, starttls=True, auth=True, proxy=True)


@pytest.mark.parametrize("state", SETUPS)
@pytest.mark.parametrize("verb", TABLE)
def test_every_cell_of_the_table_is_what_the_session_does(verb: str, state: State) -> None:
    argument = {
        "HELO": " x.example",
        "EHLO": " x.example",
        "AUTH": " PLAIN",
        "MAIL": " FROM:<a@b.example>",
        "RCPT": " TO:<c@d.example>",
        "BDAT": " 3\r\nabc",
        "VRFY": " postmaster",
        "XCLIENT": " ADDR=192.0.2.1",
        "XFORWARD": " ADDR=192.0.2.1",
    }.get(verb, "")
    before = talk(*SETUPS[state], terms=FULL)
    assert before.session.state is state
    line = f"{verb}{argument}".encode()
    after = talk(*SETUPS[state], line if verb == "BDAT" else line + b"\r\n", terms=FULL)
    reply = after.replies[-1]
    cell = TABLE[verb][state]
    if isinstance(cell, Reply):
        assert reply == cell.wire().decode("ascii").rstrip("\r\n")
        assert after.session.state is state
    elif verb == "LHLO":
        assert reply.startswith("502 ")
    elif verb == "AUTH":
        assert reply.startswith("538 ")
    elif verb == "BDAT" and state < State.RCPT:
        assert reply.startswith("554 " if state is State.START else "503 ")
    else:
        assert reply[0] in "23"


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"FROBNICATE", "500 5.5.1"),
        (b"", "500 5.5.1"),
        (b"EHLO", "501 5.5.4"),
        (b"EHLO a\x07b", "501 5.5.2"),
        (b"EHLO a\rb", "501 5.5.2"),
        (b"EHLO a\x00b", "501 5.5.2"),
        (b"EHLO a\xc2\x85b", "501 5.5.4"),
        (b"EHLO a\xe2\x80\xaeb", "501 5.5.4"),
        (b"EHLO " + b"x" * 300, "501 5.5.4"),
        (b"MAIL", "501 5.1.7"),
        (b"MAIL FROM:<a@b", "501 5.1.7"),
        (b"MAIL FROM:<a@b\rX>", "501 5.5.2"),
        (b"MAIL FROM:<\xe4@b.example>", "501 5.1.7"),
        (b"MAIL FROM:<a@b.example> SIZE=x", "501 5.5.4"),
        (b"MAIL FROM:<a@b.example> SIZE=1 SIZE=2", "501 5.5.4"),
        (b"MAIL FROM:<a@b.example> SIZE=111111111111111111111", "501 5.5.4"),
        (b"MAIL FROM:<a@b.example> BODY=BINARYMIME", "501 5.5.4"),
        (b"MAIL FROM:<a@b.example> SMTPUTF8=yes", "501 5.5.4"),
        (b"MAIL FROM:<a@b.example> AUTH=<>", "555 5.5.4"),
        (b"MAIL FROM:<a@b.example> SIZE=100001", "552 5.3.4"),
        (b"RCPT TO:<a@b.example>", "503 5.5.1"),
        (b"DATA", "503 5.5.1"),
        (b"RSET now", "501 5.5.4"),
        (b"QUIT now", "501 5.5.4"),
        (b"VRFY", "501 5.5.4"),
    ],
)
def test_what_is_wrong_is_answered_with_what_is_wrong(line: bytes, reply: str) -> None:
    done = talk(HELLO, line + b"\r\n")
    assert done.replies[-1].startswith(reply)
    assert not done.closed


@pytest.mark.parametrize("address", [b"<>", b"<bob>", b"<a@b@c>", b"<a@b> X=", b"<a@b.c> ORCPT=x"])
def test_a_bad_recipient_leaves_the_transaction_as_it_was(address: bytes) -> None:
    done = talk(HELLO, b"MAIL FROM:<>\r\nRCPT TO:" + address + b"\r\n")
    assert done.codes[-1][0] == "5"
    assert done.session.state is State.MAIL


def test_a_host_name_need_not_be_one() -> None:
    for name in (b"localhost", b"[192.0.2.1]", b"my_pc", b"J\xc3\xbcrgen-PC", b"J\xfcrgen-PC"):
        assert talk(b"EHLO " + name + b"\r\n").session.state is State.READY


def test_ehlo_and_rset_forget_the_message_under_way() -> None:
    for word in (HELLO, b"RSET\r\n"):
        done = talk(*SETUPS[State.RCPT], word, b"DATA\r\n")
        assert done.codes[-1] == "503"
        assert done.envelopes == []


def test_sizes_are_refused_when_they_are_declared() -> None:
    done = talk(HELLO, b"MAIL FROM:<a@b.example> SIZE=100000 BODY=8bitmime\r\n")
    assert done.session.state is State.MAIL


def test_a_command_line_may_be_2048_bytes_and_no_longer() -> None:
    fits = b"NOOP " + b"x" * (LINE_BYTES - 7) + b"\r\n"
    for line in (fits, b"NOOP " + b"x" * (LINE_BYTES - 6) + b"\r\n", b"x" * 10 * LINE_BYTES):
        for segments in ([line], [line[:1000], line[1000:]]):
            done = talk(HELLO, *segments)
            assert done.closed is (line is not fits)
            assert done.codes[-1] == ("250" if line is fits else "500")


def test_a_command_ended_by_a_bare_lf_is_refused_unless_that_is_allowed() -> None:
    assert talk(HELLO, b"NOOP\n").codes[-1] == "500"
    assert talk(HELLO, b"NOOP\n", terms=LENIENT).codes[-1] == "250"


def test_too_many_errors_end_the_session() -> None:
    done = talk(HELLO, b"NONSENSE\r\n" * 100)
    assert done.codes.count("500") == TERMS.errors + 1
    assert done.codes[-1] == "421"
    assert done.closed


def test_commands_without_a_message_end_the_session() -> None:
    done = talk(HELLO, b"NOOP\r\n" * 200)
    assert done.codes[-1] == "421"
    assert done.closed


LATER = Reply(450, "4.4.3", "later")
ONE = b"MAIL FROM:<>\r\nRCPT TO:<x@site.example>\r\n"


@pytest.mark.parametrize(
    ("answers", "group"),
    [
        ({"MAIL": LATER}, b"MAIL FROM:<>\r\n"),
        ({"RCPT": LATER}, b"RCPT TO:<x@site.example>\r\n"),
        ({"RCPT": LATER}, ONE + b"RSET\r\n"),
        ({"RCPT": LATER}, ONE + b"NOOP\r\nRSET\r\n"),
        ({"END": LATER}, ONE + b"BDAT 1 LAST\r\nx"),
        ({}, ONE + b"BDAT 0\r\nRSET\r\n"),
    ],
)
def test_who_only_collects_4xx_is_sent_away(answers: dict[str, Reply], group: bytes) -> None:
    done = Talk(TERMS, answers=answers).run([HELLO, b"MAIL FROM:<>\r\n" + group * 300])
    assert done.replies[-1].startswith("421 4.7.0 too many commands without a message")
    assert done.closed
    assert done.codes.count("450") <= TERMS.idle_commands


def test_so_is_one_whose_messages_are_never_taken() -> None:
    for reply, body in ((LATER, []), (GO_AHEAD, [b"x\r\n.\r\n"])):
        talking = Talk(TERMS, data_reply=reply, answers={"END": LATER})
        done = talking.run([HELLO, *[ONE, b"DATA\r\n", *body] * 300])
        assert done.codes[-1] == "421"
        assert done.codes.count("450") == TERMS.idle_commands  # and one EHLO


def test_a_message_that_is_taken_makes_up_for_what_was_put_off_before() -> None:
    idle = b"NOOP\r\n" * (TERMS.idle_commands - 1)
    done = talk(HELLO, *[idle, ONE, b"DATA\r\n", b"x\r\n.\r\n"] * 5)
    assert len(done.messages) == 5
    assert not done.closed


def test_others_are_put_off_for_long_where_one_of_the_message_is_accepted() -> None:
    talking = Talk(TERMS, answers={"RCPT": LATER})
    accepted = b"MAIL FROM:<>\r\nRCPT TO:<ok@site.example>\r\n"
    others = b"RCPT TO:<x@site.example>\r\n" * TERMS.recipients
    done = talking.run([HELLO, accepted + others * 10, b"DATA\r\n", b"x\r\n.\r\n"])
    assert len(done.messages) == 1
    assert not done.closed
    done.run([accepted + others * 11], greet=False)
    assert done.codes[-1] == "421"
    assert done.codes.count("450") == 2 * 10 * TERMS.recipients + 1


def test_data_that_was_said_before_the_recipients_were_refused_is_no_error() -> None:
    """As clients do that pipeline (RFC 2920): else the errors of an honest one would mount up."""
    talking = Talk(TERMS, answers={"RCPT": LATER})
    done = talking.run([HELLO, *[ONE + b"DATA\r\n", b"RSET\r\n"] * (TERMS.errors + 5)])
    assert done.codes.count("503") == TERMS.errors + 5
    assert not done.closed
    assert done.session.errors == 0


def test_recipients_beyond_the_limit_are_put_off() -> None:
    group = b"MAIL FROM:<>\r\n" + b"RCPT TO:<x@site.example>\r\n" * 10_000
    done = talk(HELLO, group, b"DATA\r\n", b".\r\n")
    assert done.codes.count("452") == 9_000
    assert len(done.envelopes[0].recipients) == 1000


def test_a_browser_is_sent_away_before_it_says_more() -> None:
    done = talk(b"POST / HTTP/1.1\r\n", b"Host: x\r\n\r\nMAIL FROM:<a@b.example>\r\n")
    assert done.codes == ["554"]
    assert done.closed


# -- early talkers ---------------------------------------------------------------------------------


def test_who_speaks_before_the_banner_is_cut_off() -> None:
    done = Talk()
    done.session.receive_data(HELLO)
    done.run([ENVELOPE])
    assert done.output.startswith(b"554 5.5.1 ")
    assert done.closed


@pytest.mark.parametrize(
    "segments",
    [
        (HELLO + ENVELOPE,),
        (b"HELO x\r\n", b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n"),
        (b"NOOP\r\n" + HELLO,),
        (HELLO, ENVELOPE + b"body\r\n.\r\n"),
        (HELLO, ENVELOPE + b"."),
    ],
)
def test_who_does_not_wait_for_an_answer_is_cut_off(segments: tuple[bytes, ...]) -> None:
    done = talk(*segments)
    assert done.codes[-1] == "554"
    assert done.closed
    assert done.messages == []


def test_what_comes_while_the_driver_prepares_is_early_too() -> None:
    done = talk(HELLO)
    done.session.receive_data(ENVELOPE)
    event = done.session.next_event()
    while not isinstance(event, DataStarts):
        done.session.answer(OK)
        event = done.session.next_event()
    done.session.receive_data(b"body\r\n.\r\n")
    done.session.answer(GO_AHEAD)
    done.settle()
    assert done.codes[-1] == "554"
    assert done.closed


# -- fuzz ------------------------------------------------------------------------------------------

WORDS = [
    *(verb.encode() for verb in TABLE),
    HELLO,
    ENVELOPE,
    b"MAIL FROM:<",
    b"RCPT TO:<",
    b"@site.example>",
    b"\r\n.\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b".",
    b" ",
    b'"',
    b"\\",
    b" SIZE=",
    b"\xc3\xa4",
    b"\xff",
    b"x" * 2000,
]


@settings(max_examples=300)
@given(st.lists(st.one_of(st.sampled_from(WORDS), st.binary(max_size=30)), max_size=40))
def test_no_bytes_make_the_session_raise(segments: list[bytes]) -> None:
    done = Talk().run(segments)
    assert done.session.state in State
    for line in done.output.split(b"\r\n"):
        assert all(0x20 <= byte <= 0x7E for byte in line)
    for start in done.envelopes:
        for path in (start.mail.sender, *(rcpt.recipient for rcpt in start.recipients)):
            assert all(" " <= char <= "~" for char in path.text)
