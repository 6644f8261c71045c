"""Peers that drip, or say nothing: none of them is waited for, and none keeps others out."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from loopback import on_loop
from reception import SETTINGS, Peer, connected, drafts, receiving

from spoolscan.spool import Spool


async def drip(peer: Peer, drop: bytes = b"x") -> str:
    """A byte now and then, as long as we are let; what we are told."""

    async def pour() -> None:
        while True:
            peer.writer.write(drop)
            await peer.writer.drain()
            await asyncio.sleep(0.05)

    pouring = asyncio.create_task(pour())
    try:
        async with asyncio.timeout(30):
            while (said := await peer.reply()).startswith("250 "):
                pass
            return said
    finally:
        pouring.cancel()
        await asyncio.gather(pouring, return_exceptions=True)
        peer.writer.transport.abort()


@on_loop
async def test_a_command_that_drips_in_is_not_waited_for(spool: Spool) -> None:
    settings = SETTINGS.but(command_timeout=0.5)
    async with receiving(spool, settings) as receiver, connected(receiver) as peer:
        await peer.reply()
        assert (await drip(peer)).startswith("421 4.4.2 ")


@on_loop
async def test_a_message_that_drips_in_is_not_waited_for(spool: Spool) -> None:
    settings = SETTINGS.but(data_timeout=0.5)
    async with receiving(spool, settings) as receiver, connected(receiver) as peer:
        await peer.begin()
        assert (await drip(peer)).startswith("421 4.4.2 ")
    assert drafts(spool) == []


@on_loop
async def test_a_message_that_drips_in_by_chunks_is_not_waited_for(spool: Spool) -> None:
    """Each chunk is answered, and none of the answers begins the time anew."""
    settings = SETTINGS.but(data_timeout=0.5, min_rate=10_000)
    async with receiving(spool, settings) as receiver, connected(receiver) as peer:
        await peer.reply()
        for line in (b"EHLO a", b"MAIL FROM:<a@example.net>", b"RCPT TO:<b@site.example>"):
            assert (await peer.say(line)).startswith("250 ")
        assert (await drip(peer, b"BDAT 1\r\nx")).startswith("421 4.4.2 ")
    assert drafts(spool) == []


@on_loop
async def test_a_crowd_of_silent_peers_leaves_room_for_honest_ones(spool: Spool) -> None:
    settings = SETTINGS.but(connections=4, stress_timeout=0.2)
    async with receiving(spool, settings) as receiver:
        async with AsyncExitStack() as stack:
            crowd = []
            for _ in range(4):
                crowd.append(await stack.enter_async_context(connected(receiver)))
                await crowd[-1].reply()
            for peer in crowd:  # those who came first, too, are given less time now
                said = await asyncio.wait_for(peer.reader.read(), 30)
                assert said.startswith(b"421 4.4.2 ")
        banner = "421 "
        while banner.startswith("421 "):
            async with connected(receiver) as honest:
                banner = await honest.reply()
        assert banner.startswith("220 ")
