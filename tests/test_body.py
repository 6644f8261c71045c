"""The message's bytes on their way out: nothing is changed, and nothing is smuggled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoolscan.errors import Corrupt
from spoolscan.forwarder.body import DotStuffer


def send(*chunks: bytes) -> bytes:
    stuffer = DotStuffer()
    return b"".join(stuffer.feed(chunk) for chunk in chunks) + stuffer.finish()


MESSAGE = b".a\r\n..b\r\n\r\n.\r\nc.\r\n.\r\n"


def test_doubles_the_dot_at_the_start_of_a_line() -> None:
    assert send(MESSAGE) == b"..a\r\n...b\r\n\r\n..\r\nc.\r\n..\r\n.\r\n"
    assert send() == b".\r\n"
    assert send(b".") == b"..\r\n.\r\n"
    assert send(b"no end") == b"no end\r\n.\r\n"


@pytest.mark.parametrize("size", range(1, len(MESSAGE)))
def test_the_borders_of_chunks_change_nothing(size: int) -> None:
    chunks = [MESSAGE[start : start + size] for start in range(0, len(MESSAGE), size)]
    assert send(*chunks) == send(MESSAGE)


LINE = st.binary(max_size=12).map(lambda raw: raw.translate(None, b"\r\n\0") + b"\r\n")
DOTTY = st.sampled_from([b".\r\n", b"..\r\n", b"\r\n", b"a.\r\n"])


@given(st.lists(LINE | DOTTY, max_size=30), st.integers(1, 7))
def test_the_server_gets_back_what_is_stored(lines: list[bytes], size: int) -> None:
    message = b"".join(lines)
    wire = send(*(message[start : start + size] for start in range(0, len(message), size)))
    assert wire.endswith(b".\r\n")
    assert (b"\r\n" + wire).count(b"\r\n.\r\n") == 1
    unstuffed = (b"\r\n" + wire[:-3]).replace(b"\r\n.", b"\r\n")[2:]
    assert unstuffed == message


SMUGGLING = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\n\n.\r\n",
    b"\r\r.\r\n",
    b"\r\n\0.\r\n",
    b"\n.\r",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n",
]


@pytest.mark.parametrize("form", SMUGGLING)
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_nothing_that_some_server_takes_for_the_end_goes_out(form: bytes, size: int) -> None:
    message = b"Subject: x\r\n\r\nhello" + form + b"MAIL FROM:<evil@example.org>\r\n"
    with pytest.raises(Corrupt):
        send(*(message[start : start + size] for start in range(0, len(message), size)))


def test_a_dot_of_the_message_is_never_the_last_one() -> None:
    assert send(b"hello\r\n.\r\nMAIL FROM:<>\r\n") == b"hello\r\n..\r\nMAIL FROM:<>\r\n.\r\n"


def test_a_cr_at_the_very_end_is_refused() -> None:
    with pytest.raises(Corrupt):
        send(b"hello\r")
