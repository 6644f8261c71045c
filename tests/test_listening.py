"""How many may connect, where the receiver listens, and how it starts, reloads and stops."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from contextlib import suppress

import pytest
from loopback import on_loop
from reception import OWN, SETTINGS, connected, drafts, make, receiving, stored

from spoolscan.errors import ConfigError, TemporaryFailure
from spoolscan.spool import Spool

# -- limits ----------------------------------------------------------------------------------------


@on_loop
async def test_connections_are_limited_in_all(spool: Spool) -> None:
    async with receiving(spool, OWN.but(connections=2)) as receiver:
        async with connected(receiver) as one, connected(receiver) as two:
            assert (await one.reply()).startswith("220 ")
            assert (await two.reply()).startswith("220 ")
            async with connected(receiver) as three:
                assert (await three.reply()).startswith("421 4.7.0")
                assert await three.reply() == ""
        answer = ""
        while not answer.startswith("220 "):  # as soon as the server saw them go
            async with connected(receiver) as four:
                answer = await four.reply()


@on_loop
async def test_connections_are_limited_by_address_but_not_within_own_networks(
    spool: Spool,
) -> None:
    for settings, answer in ((SETTINGS, "421 4.7.0"), (OWN, "220 ")):
        limited = settings.but(connections_per_address=1)
        async with receiving(spool, limited) as receiver, connected(receiver) as one:
            assert (await one.reply()).startswith("220 ")
            async with connected(receiver) as two:
                assert (await two.reply()).startswith(answer)


@on_loop
async def test_without_file_descriptors_peers_are_told_so(spool: Spool) -> None:
    async with receiving(spool) as receiver:
        socks = [socket.socket() for _ in range(3)]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
            for sock in socks:
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_connect(sock, receiver.addresses[0])
                answer = await asyncio.get_running_loop().sock_recv(sock, 1000)
                assert answer.startswith(b"421 4.3.2 ")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for sock in socks:
                sock.close()
        async with connected(receiver) as peer:
            assert (await peer.reply()).startswith("220 ")


# -- starting and stopping -------------------------------------------------------------------------


@on_loop
async def test_it_listens_on_several_addresses(spool: Spool) -> None:
    listen = ("127.0.0.1:0", "127.0.0.2:0")
    async with receiving(spool, OWN.but(listen=listen)) as receiver:
        assert [address for address, _ in receiver.addresses] == ["127.0.0.1", "127.0.0.2"]
        for address in receiver.addresses:
            _, writer = await asyncio.open_connection(*address)
            writer.close()
            await writer.wait_closed()


@on_loop
async def test_a_reload_keeps_listening_and_serves_new_peers_by_the_new_settings(
    spool: Spool,
) -> None:
    async with receiving(spool) as receiver, connected(receiver) as before:
        assert (await before.reply()).startswith("220 gate.site.example")
        addresses = receiver.addresses
        changed = SETTINGS.but(banner="{hostname} again", listen=("127.0.0.1:0", "127.0.0.2:0"))
        receiver.reload(changed.site, changed.receiver)
        assert receiver.addresses[0] == addresses[0]
        assert [address for address, _ in receiver.addresses] == ["127.0.0.1", "127.0.0.2"]
        async with connected(receiver) as after:
            assert await after.reply() == "220 gate.site.example again"
        assert (await before.say(b"EHLO client.example")).startswith("250 ")
        impossible = SETTINGS.but(listen=("192.0.2.1:2525",))
        with pytest.raises(ConfigError):
            receiver.reload(impossible.site, impossible.receiver)
        async with connected(receiver) as still:
            assert await still.reply() == "220 gate.site.example again"


@on_loop
async def test_an_address_that_cannot_be_listened_on_is_named(spool: Spool) -> None:
    async with receiving(spool) as receiver:
        taken = receiver.addresses[0]
        with pytest.raises(TemporaryFailure, match=f"listening on 127.0.0.1:{taken[1]}"):
            await make(SETTINGS.but(listen=(f"127.0.0.1:{taken[1]}",)), spool).start()
    elsewhere = ("127.0.0.1:0", "192.0.2.1:2525")
    with pytest.raises(ConfigError, match=r"listening on 192\.0\.2\.1:2525"):
        await make(SETTINGS.but(listen=elsewhere), spool).start()


@on_loop
async def test_a_stop_sends_waiting_peers_away_and_lets_a_message_end(spool: Spool) -> None:
    async with (
        receiving(spool) as receiver,
        connected(receiver) as idle,
        connected(receiver) as busy,
    ):
        assert (await idle.reply()).startswith("220 ")
        await busy.begin()
        stopping = asyncio.create_task(receiver.stop(grace=30))
        assert (await idle.reply()).startswith("421 4.3.2")
        assert await idle.reply() == ""
        assert (await busy.say(b"last words\r\n.")).startswith("250 2.0.0 queued as ")
        assert (await busy.reply()).startswith("421 4.3.2")
        assert await busy.reply() == ""
        await stopping
    assert [body for _, _, body in stored(spool)] == [b"last words\r\n"]


@on_loop
async def test_a_stop_waits_no_longer_than_its_grace(spool: Spool) -> None:
    async with receiving(spool) as receiver, connected(receiver) as busy:
        await busy.begin()
        await receiver.stop(grace=0.1)
        assert await busy.reply() == ""
    assert drafts(spool) == []
    assert stored(spool) == []


@on_loop
async def test_a_cancelled_connection_leaves_no_draft(spool: Spool) -> None:
    async with receiving(spool) as receiver, connected(receiver) as peer:
        await peer.begin()
        peer.writer.write(b"x" * 100_000)
        await peer.writer.drain()
        async with asyncio.timeout(60):
            while not drafts(spool):
                await asyncio.sleep(0.001)
        for task in asyncio.all_tasks():
            if "Connection.serve" in repr(task.get_coro()):
                task.cancel()
        with suppress(ConnectionResetError):  # where not all was read
            assert await peer.reply() == ""
    assert drafts(spool) == []
