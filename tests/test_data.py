"""DATA without a socket: where a message ends, and what it may not be."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smuggled import FALSE_ENDS, SMUGGLED
from talk import ENVELOPE, HELLO, LENIENT, TERMS, Talk, cuts, send, talk

from spoolscan.receiver.dotted import BareLF, Dotted
from spoolscan.receiver.events import Chunk, State, Terms
from spoolscan.receiver.hops import HopCounter
from spoolscan.receiver.reply import OK, Reply
from spoolscan.receiver.session import Session

# -- where a message ends --------------------------------------------------------------------------


@pytest.mark.parametrize("terms", [TERMS, LENIENT], ids=["refuse", "normalise"])
@pytest.mark.parametrize("end", FALSE_ENDS)
def test_nothing_is_smuggled_past_a_false_end(end: bytes, terms: Terms) -> None:
    body = b"Subject: x\r\n\r\nhello" + end + SMUGGLED + b"evil\r\n.\r\n"
    outcomes = set()
    for segments in cuts(body):
        done = talk(HELLO, ENVELOPE, *segments, b"NOOP\r\n", terms=terms)
        assert len(done.envelopes) == 1
        assert len(done.messages) + len(done.refused) == 1
        assert done.codes[-1] == "250"
        assert done.session.state is State.READY
        for message in done.messages:
            stray = message.replace(b"\r\n", b"")
            assert not {b"\r", b"\n", b"\0"} & {stray[i : i + 1] for i in range(len(stray))}
        outcomes.add((tuple(done.messages), tuple(done.codes)))
    assert len(outcomes) == 1


def test_a_bare_cr_a_nul_or_a_bare_lf_is_refused_after_the_end() -> None:
    for bad in (b"a\rb", b"a\0b", b"a\nb", b"\n", b"\r", b"\0"):
        done = send(b"x\r\n" + bad + b"\r\n.\r\n")
        assert done.replies[-1].startswith("554 5.6.0")
        assert done.messages == []


def test_a_bare_lf_is_normalised_where_that_is_allowed() -> None:
    done = send(b"a\nb\n\n..c\r\nd\n.\r\n.\r\n", terms=LENIENT)
    assert done.messages == [b"a\r\nb\r\n\r\n.c\r\nd\r\n\r\n"]


def test_an_empty_message_is_a_message() -> None:
    assert send(b".\r\n").messages == [b""]


def test_a_very_long_line_streams_through() -> None:
    done = Talk(replace(TERMS, message_bytes=20_000_000)).run(
        [HELLO, ENVELOPE, *[b"x" * 65_536] * 160, b"\r\n.\r\n"]
    )
    assert len(done.messages[0]) == 160 * 65_536 + 2
    assert done.largest <= 65_536 + 4


def reference(raw: bytes) -> bytes:
    """RFC 5321 4.5.2, line by line, for bodies whose line ends are all CRLF."""
    lines = raw.split(b"\r\n")
    return b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines)


canonical_bodies = st.lists(
    st.sampled_from([b".", b"..", b"a", b" ", b"\x85", b"..a", b"", b".a"]), max_size=12
).map(lambda lines: b"".join(line + b"\r\n" for line in lines if line != b"."))


@given(canonical_bodies, st.lists(st.integers(0, 80), max_size=6))
def test_dots_are_unstuffed_the_same_however_it_is_cut(body: bytes, places: list[int]) -> None:
    raw = body + b".\r\nREST"
    edges = [0, *sorted(min(place, len(raw)) for place in places), len(raw)]
    dotted = Dotted(BareLF.REFUSE)
    out, rest = b"", b""
    for start, end in itertools.pairwise(edges):
        if dotted.ended:
            rest += raw[start:end]
        else:
            out += dotted.feed(raw[start:end])
    assert out == reference(body)
    assert dotted.rest + rest == b"REST"
    assert not dotted.fault


@given(
    st.lists(st.sampled_from([b"\r\n", b"\r\n.", b"\r", b"\n", b".", b"a"]), max_size=10),
    st.booleans(),
)
def test_the_end_is_found_where_the_five_bytes_are(pieces: list[bytes], lenient: bool) -> None:
    raw = b"".join(pieces)
    end = (b"\r\n" + raw).find(b"\r\n.\r\n")
    mode = BareLF.NORMALISE if lenient else BareLF.REFUSE
    whole, split = Dotted(mode), Dotted(mode)
    whole_out = whole.feed(raw)
    split_out = b"".join(split.feed(raw[i : i + 1]) for i in range(len(raw)) if not split.ended)
    assert whole.ended == split.ended == (end >= 0)
    assert bool(whole.fault) == bool(split.fault)
    if not whole.fault:
        assert whole_out == split_out


# -- limits of a message ---------------------------------------------------------------------------


def test_a_message_over_the_limit_is_refused_at_its_end() -> None:
    done = send(b"x" * 100_001 + b"\r\n.\r\n")
    assert done.replies[-1].startswith("552 5.3.4")
    assert [reply.code for reply in done.refused] == [552]
    assert send(b"x" * 99_998 + b"\r\n.\r\n").codes[-1] == "250"
    assert send(b"..\r\n" * 33_333 + b".\r\n").codes[-1] == "250", "stuffing is not counted"


def test_a_refused_message_that_never_ends_is_cut_off() -> None:
    done = talk(HELLO, ENVELOPE, *[b"x" * 50_000] * 10)
    assert done.codes[-1] == "552"
    assert done.closed


def test_a_message_that_came_by_too_many_hosts_is_in_a_loop() -> None:
    def hops(count: int) -> Talk:
        return send(b"ReCeIvEd: x\r\n" * count + b"\r\nReceived: in the body\r\n" * 60 + b".\r\n")

    assert hops(50).codes[-1] == "250"
    assert hops(51).replies[-1].startswith("554 5.4.6")


def test_a_message_that_came_by_us_too_often_is_in_a_loop() -> None:
    ours = (
        b"Received: from a ([192.0.2.7])\r\n\tby %b (spoolscan 0.1.0) with ESMTP id x;\r\n\tnow\r\n"
    )

    def passes(count: int, host: bytes = b"MX.Example") -> Talk:
        body = b"\r\n" + ours % b"mx.example" * 9 + b".\r\n"
        return send(ours % host * count + body)

    assert passes(3).codes[-1] == "250"
    assert passes(4).replies[-1].startswith("554 5.4.6")
    assert passes(9, b"another.mx.example.org").codes[-1] == "250"


@given(st.lists(st.integers(0, 200), max_size=8))
def test_hops_are_counted_the_same_however_the_header_is_cut(places: list[int]) -> None:
    header = (
        b"Received: a\r\nX: Received: b\r\nRECEIVED: c\r\n by gate.example.com (spoolscan 1)\r\n"
    )
    header += b" received: d\r\nreceived:e by gate.example.com\r\n"
    text = header + b"\r\nReceived: f\r\n"
    edges = [0, *sorted(min(place, len(text)) for place in places), len(text)]
    counter = HopCounter("gate.example.com")
    for start, end in itertools.pairwise(edges):
        counter.feed(text[start:end])
    assert (counter.count, counter.own) == (3, 1)


def test_the_driver_can_refuse_a_message_under_way() -> None:
    full = Reply(452, "4.3.1", "no room")
    done = talk(HELLO, ENVELOPE, b"one\r\n")
    done.session.refuse_message(full)
    done.session.receive_data(b"two\r\n.\r\n")
    done.settle()
    assert done.replies[-1] == "452 4.3.1 no room"
    assert done.messages == []

    done = talk(HELLO, ENVELOPE)
    done.session.receive_data(b"one\r\n.\r\nNOOP\r\n")
    assert done.session.next_event() == Chunk(b"one\r\n")
    done.session.refuse_message(full)
    done.settle()
    assert done.replies[-2:] == ["452 4.3.1 no room", "250 2.0.0 ok"]
    assert done.messages == []


def test_a_refusal_at_data_forgets_the_envelope() -> None:
    done = Talk(data_reply=Reply(451, "4.3.0", "later")).run([HELLO, ENVELOPE, b"DATA\r\n"])
    assert done.codes[-2:] == ["451", "503"]


def test_a_driver_that_breaks_the_rules_is_told() -> None:
    session = Session(TERMS)
    with pytest.raises(RuntimeError):
        session.next_event()
    session.greet()
    with pytest.raises(RuntimeError):
        session.answer(OK)
    session.receive_data(HELLO)
    session.next_event()
    session.receive_data(b"MAIL FROM:<>\r\n")
    session.next_event()
    with pytest.raises(RuntimeError):
        session.next_event()


def test_a_reply_never_grows_a_line_by_what_it_quotes() -> None:
    wire = Reply(550, "5.1.1", "no \r250 such\x1b[2J\xe4 user" + "x" * 1000).wire()
    assert wire.count(b"\r") == wire.count(b"\n") == 1
    assert len(wire) <= 512
    assert wire.startswith(b"550 5.1.1 no ?250 such?[2J? user")
