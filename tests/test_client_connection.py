"""A connection to a next hop: for how many messages it is kept, and its clocks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest
from deliveries import MESSAGE, Told, made, mail
from smtp_peer import Act, Peer

from spoolscan.config import Timeouts
from spoolscan.forwarder.connection import Connection
from spoolscan.forwarder.delivery import ConnectionLost, Fate, Mail, NextHopDown, Outcome
from spoolscan.forwarder.protocol import Client
from spoolscan.nexthop.url import Address


def counting(peer: Peer, item: Mail, times: int, **values: int) -> int:
    """Connections used for so many deliveries, one after another."""

    async def main() -> None:
        async with peer:
            route = made(f"smtp://127.0.0.1:{peer.port}", **values)
            for _ in range(times):
                told = Told()
                await route.deliver(item, told)
                assert set(told.fates.values()) == {Fate.DELIVERED}
            await route.close()

    asyncio.run(main())
    return peer.connections


def test_a_connection_carries_many_messages_but_not_too_many() -> None:
    assert counting(Peer(), mail(MESSAGE), 10) == 1
    assert counting(Peer(), mail(MESSAGE), 10, messages=5) == 2


def test_a_connection_that_is_idle_is_left_politely() -> None:
    async def main() -> None:
        async with Peer() as peer:
            route = made(f"smtp://127.0.0.1:{peer.port}", idle=0)
            await route.deliver(mail(MESSAGE), Told())
            while peer.open:
                await asyncio.sleep(0.01)
            assert peer.commands[-1] == "QUIT"
            await route.close()

    asyncio.run(main())


def test_a_connection_the_server_closed_meanwhile_is_replaced_without_fuss() -> None:
    peer = Peer()

    def hurried(sender: str) -> str | Act:
        return Act.DROP if peer.connections == 1 and peer.deliveries else "250 ok"

    peer.answers["MAIL"] = hurried
    assert counting(peer, mail(MESSAGE), 2) == 2
    assert len(peer.deliveries) == 2


def test_many_recipients_go_in_several_transactions() -> None:
    peer = Peer()
    to = [f"user{number}@example.com" for number in range(250)]
    assert counting(peer, mail(MESSAGE, to=to), 1) == 1
    assert [len(item.recipients) for item in peer.deliveries] == [100, 100, 50]


def test_a_connection_lost_when_all_is_said_takes_nothing_back() -> None:
    peer = Peer({"END": lambda _: "250 ok\r\ngarbage"})
    assert counting(peer, mail(MESSAGE), 2) == 2


def test_every_wait_has_an_end() -> None:
    short = Timeouts(connect=5, greeting=0.2, command=0.2, block=0.2, answer=0.2)

    async def main(step: str) -> None:
        async with Peer({step: Act.HANG}) as peer:
            route = made(f"smtp://127.0.0.1:{peer.port}", timeouts=short)
            with pytest.raises((NextHopDown, ConnectionLost), match="no answer within"):
                await route.deliver(mail(MESSAGE), Told())
            await route.close()

    for step in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "END"):
        asyncio.run(main(step))


def test_a_time_that_ends_while_we_are_at_the_disk_has_ended() -> None:
    told: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        await reader.readline()
        writer.write(b"250-me\r\n250 PIPELINING\r\n")
        for _ in range(3):  # MAIL and two of RCPT
            await reader.readline()
        writer.write(b"250 ok\r\n550 not her\r\n")
        await reader.read()  # and nothing more
        writer.close()

    async def content() -> AsyncIterator[bytes]:
        yield MESSAGE

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        address = Address("127.0.0.1", server.sockets[0].getsockname()[1])
        times = Timeouts(connect=60, greeting=60, command=2)
        connection = await Connection.open(address, Client("me.test", "peer"), times)

        async def settle(known: Mapping[int, Outcome]) -> None:
            told.extend(known)
            while connection._alarm is not None:  # a slow disk
                await asyncio.sleep(0.01)

        to = ((0, "bob@example.com"), (1, "carol@example.com"))
        mail = Mail("id", "a@example.org", to, len(MESSAGE), False, content, whole=MESSAGE)
        with pytest.raises(ConnectionLost, match="no answer within"):
            await asyncio.wait_for(connection.send(mail, settle), 60)
        server.close()

    asyncio.run(main())
    assert told == [0]
