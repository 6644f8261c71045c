"""The way of a connection's bytes, where it ends or begins in a way that few conversations do."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl

import certificates

from spoolscan.receiver.link import Link
from spoolscan.receiver.stream import SEGMENT

PATIENCE = 60.0
STRANGER = ssl.create_default_context()
STRANGER.check_hostname, STRANGER.verify_mode = False, ssl.CERT_NONE


def troubles(loop: asyncio.AbstractEventLoop) -> list[object]:
    """What the loop would log, as it comes."""
    found: list[object] = []
    loop.set_exception_handler(lambda _, context: found.append(context))
    return found


def test_who_reads_from_a_pipe_hears_of_the_end_that_we_make() -> None:
    async def main() -> list[object]:
        found = troubles(asyncio.get_running_loop())
        source, sink = os.pipe(), os.pipe()
        link = await Link.over_pipes(os.fdopen(source[0], "rb", 0), os.fdopen(sink[1], "wb", 0))
        reading = asyncio.create_task(link.read(2 * PATIENCE))
        await asyncio.sleep(0)
        link.abort()
        assert await asyncio.wait_for(reading, PATIENCE) == b""
        await asyncio.wait_for(link.close(), PATIENCE)
        os.close(source[1])
        os.close(sink[0])
        return found

    assert asyncio.run(main()) == []


def test_a_pipe_that_was_said_good_bye_to_is_closed_without_a_word() -> None:
    async def main() -> list[object]:
        found = troubles(asyncio.get_running_loop())
        source, sink = os.pipe(), os.pipe()
        link = await Link.over_pipes(os.fdopen(source[0], "rb", 0), os.fdopen(sink[1], "wb", 0))
        await link.send(b"221 bye\r\n", PATIENCE)
        os.close(source[1])
        assert await link.read(PATIENCE) == b""
        await link.linger()
        await asyncio.wait_for(link.close(), PATIENCE)
        assert os.read(sink[0], 100) == b"221 bye\r\n"
        os.close(sink[0])
        return found

    assert asyncio.run(main()) == []


def test_a_peer_that_leaves_our_good_bye_unanswered_is_closed() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    async def main() -> None:
        shaking = asyncio.to_thread(STRANGER.wrap_socket, theirs)
        link_made = Link.over_socket(ours, certificates.server("me.test"), PATIENCE)
        link, peer = await asyncio.gather(link_made, shaking)
        await link.linger()  # the peer reads nothing
        await link.close()
        peer.close()

    asyncio.run(main())


def test_what_comes_with_the_end_of_a_handshake_may_be_much() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 * SEGMENT)
    said = b"NOOP\r\n" * 30_000
    assert len(said) > 2 * SEGMENT
    begin, end = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = STRANGER.wrap_bio(begin, end)

    def shake_hands() -> None:
        while True:
            try:
                return peer.do_handshake()
            except ssl.SSLWantReadError:
                theirs.sendall(end.read())
                begin.write(theirs.recv(SEGMENT))

    async def main() -> list[object]:
        found = troubles(asyncio.get_running_loop())
        link = await Link.over_socket(ours)
        assert link.hush()
        securing = asyncio.create_task(link.secure(certificates.server("me.test"), PATIENCE))
        await asyncio.to_thread(shake_hands)
        peer.write(said)
        theirs.sendall(end.read())  # here: the loop finds it all at once
        async with asyncio.timeout(PATIENCE):
            await securing
            heard = 0
            while heard < len(said):
                piece = await link.read(PATIENCE)
                assert piece
                heard += len(piece)
            theirs.close()
            await link.close()
        return found

    assert asyncio.run(main()) == []
