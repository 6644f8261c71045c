"""BDAT (RFC 3030): a message in chunks, in none of which anything is a command or an end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import on_loop
from reception import connected, drafts, receiving, stored
from smuggled import FALSE_ENDS, SMUGGLED
from talk import HELLO, LENIENT, PATHS, TERMS, Talk, chunk, cuts, talk

from spoolscan.receiver.chunked import Chunked
from spoolscan.receiver.dotted import BareLF
from spoolscan.receiver.events import Chunk, State, Terms
from spoolscan.receiver.reply import OK, Reply
from spoolscan.spool import Spool


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


@pytest.mark.parametrize("terms", [TERMS, LENIENT])
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


@on_loop
async def test_a_message_given_up_between_chunks_leaves_nothing(spool: Spool) -> None:
    async with receiving(spool) as receiver, connected(receiver) as peer:
        await peer.reply()
        await peer.say(b"EHLO client.example")
        for end in (b"RSET", b"QUIT"):
            peer.writer.write(PATHS + chunk(b"x" * 100_000) + end + b"\r\n")
            replies = [(await peer.reply())[:3] for _ in range(4)]
            assert replies == ["250"] * 3 + ["250" if end == b"RSET" else "221"]
    assert stored(spool) == []
    assert drafts(spool) == []


@on_loop
async def test_a_stop_lets_a_message_in_chunks_end(spool: Spool) -> None:
    async with receiving(spool) as receiver, connected(receiver) as peer:
        await peer.reply()
        await peer.say(b"EHLO client.example")
        peer.writer.write(PATHS + chunk(b"one\r\n"))
        assert [(await peer.reply())[:3] for _ in range(3)] == ["250"] * 3
        stopping = asyncio.create_task(receiver.stop(grace=30))
        await asyncio.sleep(0)
        assert (await peer.say(chunk(b"two", last=True)[:-2])).startswith("250 2.0.0 queued as ")
        assert (await peer.reply()).startswith("421 ")
        await stopping
    assert [body for _, _, body in stored(spool)] == [b"one\r\nt\r\n"]
