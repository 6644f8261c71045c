"""LMTP (RFC 2033): an answer for each recipient, over a socket of this host or TCP."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import stat
from pathlib import Path

import pytest
from loopback import on_loop
from reception import SETTINGS, Peer, connected, make, need, receiving, run, stored
from talk import LHLO, LMTP, PATHS, THREE, Talk, chunk, talk

from spoolscan.receiver.reply import Reply
from spoolscan.spool import Spool

# -- without a socket ------------------------------------------------------------------------------


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


# -- over a socket ---------------------------------------------------------------------------------

LOCAL = SETTINGS.but(listen=(), listen_lmtp=("unix:lmtp.sock", "127.0.0.1:0"))


@on_loop
async def test_lmtp_over_a_socket_of_this_host(spool: Spool) -> None:
    path = Path(spool.root) / "lmtp.sock"
    with socket.socket(socket.AF_UNIX) as dead:  # its owner was killed
        dead.bind(str(path))

    async with receiving(spool, LOCAL) as receiver:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        peer = Peer(*await asyncio.open_unix_connection(str(path)))
        await peer.reply()
        await peer.say(b"LHLO client.example")
        await peer.say(b"MAIL FROM:<>")
        for address in (b"bob@site.example", b"eve@elsewhere.example"):
            assert (await peer.say(b"RCPT TO:<" + address + b">")).startswith("250 ")
        await peer.say(b"DATA")
        assert (await peer.say(b"x\r\n.")).startswith("250 2.0.0 queued as ")
        assert (await peer.reply()).startswith("250 2.0.0 queued as ")
        peer.writer.close()
        async with connected(receiver) as peer:
            await peer.reply()
            assert (await peer.say(b"EHLO x")).startswith("502 ")
            await peer.say(b"LHLO x")
            peer.writer.write(PATHS.replace(b"c@", b"bob@") + chunk(b"x\r\n", last=True))
            assert [(await peer.reply())[:3] for _ in range(3)] == ["250"] * 3
    local, remote = stored(spool)
    assert (local[0].protocol, local[0].peer_address) == ("LMTP", "")
    assert len(local[0].recipients) == 2
    assert b"(local)" in local[1]
    assert remote[2] == b"x\r\n"


@on_loop
async def test_a_socket_that_is_in_use_is_not_taken_away(spool: Spool) -> None:
    async with receiving(spool, LOCAL.but(listen_lmtp=("unix:lmtp.sock",))):
        with pytest.raises(Exception, match=r"lmtp\.sock"):
            await make(LOCAL.but(listen_lmtp=("unix:lmtp.sock",)), spool).start()

        def work() -> int:
            with smtplib.LMTP(f"{spool.root}/lmtp.sock") as client:
                return client.noop()[0]

        assert await asyncio.to_thread(work) == 250


@pytest.mark.real
@on_loop
async def test_swaks_speaks_lmtp(spool: Spool) -> None:
    swaks = need("swaks")
    async with receiving(spool, LOCAL):
        said = await run(
            *(swaks, "--protocol", "LMTP", "--socket", f"{spool.root}/lmtp.sock"),
            *("--from", "a@b.example", "--to", "bob@site.example,carl@site.example"),
        )
    assert said.count("queued as") == 2
    assert len(stored(spool)) == 1
