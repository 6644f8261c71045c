"""The sans-I/O client: what it says, and what it believes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoolscan.errors import Corrupt
from spoolscan.forwarder.delivery import ConnectionLost, Fate, Mail, NextHopDown
from spoolscan.forwarder.protocol import Client, Phase
from spoolscan.forwarder.replies import ReplyReader, Unreadable

ALL = b"250-peer\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"
ONE = ["bob@example.com"]
TWO = ["bob@example.com", "carol@example.com"]


def ready(hello: bytes = ALL, *, lmtp: bool = False) -> Client:
    client = Client("me.test", "peer.test", lmtp=lmtp)
    client.receive(b"220 hello\r\n")
    client.to_send()
    client.receive(hello)
    assert client.phase is Phase.READY
    return client


def begin(client: Client, sender: str, to: list[str], **values: Any) -> None:
    """``values`` are further fields of the Mail."""
    values.setdefault("size", 0)
    values.setdefault("eight_bit", False)
    pairs = tuple(enumerate(to))
    client.begin(Mail("20261121t053000z-d6m01v", sender, pairs, content=aiter, **values))


def in_body(recipients: list[str] = ONE, *, lmtp: bool = False) -> Client:
    client = ready(lmtp=lmtp)
    begin(client, "alice@example.org", recipients)
    client.to_send()
    client.receive(b"250 ok\r\n" * (1 + len(recipients)) + b"354 go\r\n")
    assert client.phase is Phase.BODY
    return client


def ended(recipients: list[str] = ONE, *, lmtp: bool = False) -> Client:
    client = in_body(recipients, lmtp=lmtp)
    client.body(b"hello\r\n")
    client.end()
    client.to_send()
    return client


def fates(client: Client) -> list[tuple[int, Fate, str]]:
    return [(place, one.fate, one.status) for place, one in client.outcomes().items()]


# What it says


def test_greets_with_its_name() -> None:
    client = Client("me.test", "peer.test")
    assert client.to_send() == b""
    client.receive(b"220-two\r\n220 lines\r\n")
    assert client.to_send() == b"EHLO me.test\r\n"


def test_falls_back_to_helo_in_smtp_only() -> None:
    client = Client("me.test", "peer.test")
    client.receive(b"220 hello\r\n")
    client.to_send()
    client.receive(b"502 what\r\n")
    assert client.to_send() == b"HELO me.test\r\n"
    client.receive(b"250 hello\r\n")
    assert client.phase is Phase.READY
    lmtp = Client("me.test", "peer.test", lmtp=True)
    lmtp.receive(b"220 hello\r\n")
    assert lmtp.to_send() == b"LHLO me.test\r\n"
    with pytest.raises(NextHopDown):
        lmtp.receive(b"502 what\r\n")


def test_says_the_envelope_in_one_piece_where_it_may() -> None:
    client = ready()
    begin(client, "alice@example.org", TWO, size=90, eight_bit=True)
    assert client.to_send() == (
        b"MAIL FROM:<alice@example.org> SIZE=90 BODY=8BITMIME\r\n"
        b"RCPT TO:<bob@example.com>\r\nRCPT TO:<carol@example.com>\r\nDATA\r\n"
    )


def test_says_it_line_by_line_where_it_must_and_nothing_that_is_not_offered() -> None:
    client = ready(b"250 peer\r\n")
    begin(client, "", TWO, size=90, eight_bit=True)
    said = [client.to_send()]
    for reply in (b"250 ok\r\n", b"250 ok\r\n", b"250 ok\r\n"):
        client.receive(reply)
        said.append(client.to_send())
    assert said == [
        b"MAIL FROM:<>\r\n",
        b"RCPT TO:<bob@example.com>\r\n",
        b"RCPT TO:<carol@example.com>\r\n",
        b"DATA\r\n",
    ]


def test_does_not_say_data_when_everybody_was_refused_before() -> None:
    client = ready(b"250 peer\r\n")
    begin(client, "", ONE)
    client.to_send()
    client.receive(b"250 ok\r\n")
    client.to_send()
    client.receive(b"550 5.1.1 nobody\r\n")
    assert client.to_send() == b""
    assert client.phase is Phase.READY
    assert fates(client) == [(0, Fate.REFUSED, "5.1.1")]


def test_clears_the_envelope_of_a_message_that_ended_early() -> None:
    client = ready()
    begin(client, "", ONE)
    client.to_send()
    client.receive(b"250 ok\r\n450 later\r\n554 none\r\n")
    begin(client, "", ONE)
    assert client.to_send().startswith(b"RSET\r\nMAIL FROM:<>")
    with pytest.raises(ConnectionLost):
        client.receive(b"500 no\r\n")


def test_needs_no_rset_after_a_message_that_was_answered() -> None:
    client = ended()
    client.receive(b"250 ok\r\n")
    begin(client, "", ONE)
    assert client.to_send().startswith(b"MAIL")


def test_says_quit() -> None:
    client = ready()
    client.quit()
    assert client.to_send() == b"QUIT\r\n"
    client.receive(b"221 bye\r\n")
    assert client.phase is Phase.CLOSED


def test_refuses_by_itself_what_is_larger_than_the_server_takes() -> None:
    client = ready()
    begin(client, "", TWO, size=1001)
    assert client.to_send() == b""
    assert fates(client) == [(0, Fate.REFUSED, "5.3.4"), (1, Fate.REFUSED, "5.3.4")]
    assert client.phase is Phase.READY


@pytest.mark.parametrize(
    "address",
    ["a\r\nRCPT TO:<x@y>", "a\n@b", "a\0@b", "a> SIZE=1", "a@b <c", "é\x85@b", "x" * 2000],
)
def test_never_puts_a_strange_address_into_a_command(address: str) -> None:
    for sender, recipient in ((address, "ok@example.com"), ("ok@example.com", address)):
        client = ready()
        with pytest.raises(Corrupt):
            begin(client, sender, [recipient])
        assert client.to_send() == b""


def test_refuses_internationalized_addresses_until_it_can_ask_for_them() -> None:
    client = ready()
    begin(client, "", ["jürgen@example.com", *ONE])
    assert client.to_send() == b"MAIL FROM:<> SIZE=0\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n"
    assert fates(client) == [(0, Fate.REFUSED, "5.6.7")]
    client = ready()
    begin(client, "jürgen@example.com", ONE)
    assert client.to_send() == b""
    assert fates(client) == [(0, Fate.REFUSED, "5.6.7")]


# What it believes


def test_delivered_is_a_250_to_the_final_dot() -> None:
    client = ended(TWO)
    assert fates(client) == []
    client.receive(b"250 2.0.0 queued\r\n")
    assert fates(client) == [(0, Fate.DELIVERED, "2.0.0"), (1, Fate.DELIVERED, "2.0.0")]
    assert client.phase is Phase.READY


@pytest.mark.parametrize("code", [b"200", b"220", b"221", b"251", b"354", b"421"])
def test_no_other_code_means_delivered(code: bytes) -> None:
    client = ended()
    with pytest.raises(ConnectionLost):
        client.receive(code + b" ok\r\n")
    assert fates(client) == []


def test_lmtp_answers_for_each_recipient_that_was_accepted() -> None:
    client = ready(lmtp=True)
    begin(client, "", ["a@x", "b@x", "c@x", "d@x"])
    client.to_send()
    client.receive(b"250 ok\r\n" + b"250 ok\r\n550 no\r\n250 ok\r\n250 ok\r\n" + b"354 go\r\n")
    assert fates(client) == [(1, Fate.REFUSED, "5.0.0")]
    client.end()
    client.to_send()
    client.receive(b"250 ok\r\n")
    assert fates(client) == [(0, Fate.DELIVERED, "2.0.0")]
    client.receive(b"452 4.2.2 full\r\n550 5.2.1 off\r\n")
    assert fates(client) == [(2, Fate.DEFERRED, "4.2.2"), (3, Fate.REFUSED, "5.2.1")]
    assert client.phase is Phase.READY


def test_a_refused_sender_is_the_reason_for_all_whatever_is_said_after() -> None:
    client = ready()
    begin(client, "", TWO)
    client.to_send()
    client.receive(b"451 4.7.1 greylisted\r\n503 5.5.1 no\r\n503 5.5.1 no\r\n503 5.5.1 no\r\n")
    assert fates(client) == [(0, Fate.DEFERRED, "4.7.1"), (1, Fate.DEFERRED, "4.7.1")]
    assert client.phase is Phase.READY


def test_each_recipient_has_its_own_answer() -> None:
    client = ready()
    begin(client, "", ["a@x", "b@x", "c@x"])
    client.to_send()
    client.receive(b"250 ok\r\n250 ok\r\n450 later\r\n550 5.1.1 never\r\n354 go\r\n")
    client.end()
    client.to_send()
    client.receive(b"554 5.6.0 no\r\n")
    assert fates(client) == [
        (1, Fate.DEFERRED, "4.0.0"),
        (2, Fate.REFUSED, "5.1.1"),
        (0, Fate.REFUSED, "5.6.0"),
    ]


def test_552_to_a_recipient_means_too_many_of_them() -> None:
    client = ready()
    begin(client, "", TWO)
    client.to_send()
    client.receive(b"250 ok\r\n250 ok\r\n552 too many\r\n354 go\r\n")
    assert fates(client) == [(1, Fate.DEFERRED, "4.5.3")]


def test_a_status_that_contradicts_its_reply_is_not_believed() -> None:
    client = ended()
    client.receive(b"451 5.1.1 which now\r\n")
    assert fates(client) == [(0, Fate.DEFERRED, "4.0.0")]


def test_a_server_that_will_not_talk_to_us_has_refused_no_message() -> None:
    for reply in (b"554 no\r\n", b"421 busy\r\n", b"250 ok\r\n", b"\r\n", b"HTTP/1.1 400\r\n"):
        with pytest.raises(NextHopDown):
            Client("me.test", "peer.test").receive(reply)


def test_354_without_recipients_ends_the_conversation() -> None:
    client = ready()
    begin(client, "", ONE)
    client.to_send()
    with pytest.raises(ConnectionLost):
        client.receive(b"250 ok\r\n550 no\r\n354 go\r\n")
    assert fates(client) == [(0, Fate.REFUSED, "5.0.0")]


def test_a_reply_nobody_asked_for_ends_the_conversation() -> None:
    for client in (ready(), in_body()):
        with pytest.raises(ConnectionLost, match="nobody asked for"):
            client.receive(b"250 ok\r\n")
        assert fates(client) == []
    with pytest.raises(ConnectionLost):
        in_body().receive(b"25")


def test_a_reply_to_what_was_not_sent_yet_ends_the_conversation() -> None:
    client = ready(b"250 peer\r\n")
    begin(client, "", ONE)
    client.to_send()
    with pytest.raises(ConnectionLost):
        client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n250 done\r\n")
    assert fates(client) == []


@pytest.mark.parametrize(
    "reply",
    [
        b"250-ok\r\n550 no\r\n",
        b"250-ok\r\n354 go\r\n",
        b"250 ok\n",
        b"250 ok\rmore\r\n",
        b"250 o\0k\r\n",
        b"250ok\r\n",
        b"2500 ok\r\n",
        b"150 ok\r\n",
        b"299 ok\r\n",
        b" 250 ok\r\n",
        b"\r\n",
        b"250\xa0ok\r\n",
        b"250-" + b"x" * 5000,
        b"250-x\r\n" * 200,
        (b"250-" + b"x" * 4000 + b"\r\n") * 20,
    ],
)
def test_a_malformed_reply_is_a_lost_connection_and_never_a_yes(reply: bytes) -> None:
    client = ended()
    with pytest.raises(ConnectionLost):
        client.receive(reply)
    assert fates(client) == []


def test_half_a_reply_is_no_reply() -> None:
    client = ended()
    client.receive(b"250-first\r\n250")
    assert client.phase is Phase.ANSWER
    assert fates(client) == []
    assert isinstance(client.lost("closed"), ConnectionLost)


def test_the_words_of_a_peer_come_out_as_printable_ascii() -> None:
    client = ended()
    client.receive(b"550 5.7.1 \x1b[31m\xe9\t" + b"x" * 4000 + b"\r\n")
    (outcome,) = client.outcomes().values()
    assert outcome.text.startswith("550 5.7.1 ?[31m? xxx")
    assert outcome.text.isascii()
    assert outcome.text.isprintable()
    assert len(outcome.text) == 500


@given(st.lists(st.binary(max_size=40), max_size=20), st.booleans())
def test_no_bytes_whatever_make_more_of_it_than_a_lost_connection(
    pieces: list[bytes], lmtp: bool
) -> None:
    client = ended(TWO, lmtp=lmtp)
    try:
        for piece in pieces:
            client.receive(piece)
    except ConnectionLost:
        assert client.phase is Phase.CLOSED
    answers = b"".join(pieces).startswith(b"250")
    assert answers or all(fate is not Fate.DELIVERED for _, fate, _ in fates(client))


LINES = st.sampled_from([b"220", b"250", b"354", b"421", b"450", b"550", b"500", b"250-"])


@given(st.lists(LINES, max_size=12), st.booleans(), st.booleans())
def test_in_any_order_of_replies_nobody_gets_two_outcomes(
    codes: list[bytes], pipelining: bool, lmtp: bool
) -> None:
    client = ready(ALL if pipelining else b"250 peer\r\n", lmtp=lmtp)
    begin(client, "", ["a@x", "b@x", "c@x"])
    seen: list[int] = []
    try:
        for code in codes:
            client.to_send()
            client.receive(code + (b"x\r\n" if code.endswith(b"-") else b" x\r\n"))
            seen += [place for place, _, _ in fates(client)]
            if client.phase is Phase.BODY:
                client.end()
    except ConnectionLost:
        seen += [place for place, _, _ in fates(client)]
    assert len(seen) == len(set(seen))
    assert client.phase is not Phase.READY or sorted(seen) == [0, 1, 2]


@given(st.binary(max_size=200), st.lists(st.integers(1, 20), max_size=20))
def test_replies_are_the_same_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    def read(pieces: list[bytes]) -> list[object]:
        reader = ReplyReader()
        found: list[object] = []
        try:
            for piece in pieces:
                reader.feed(piece)
                while (reply := reader.next()) is not None:
                    found.append(reply)
        except Unreadable as error:
            found.append(str(error))
        return found

    stream = b"250-a\r\n250 b\r\n" + data
    pieces, rest = [], stream
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    assert read([*pieces, rest]) == read([stream])
