"""The clocks of a connection to a next hop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from spoolscan.config import Timeouts
from spoolscan.forwarder.connection import Connection
from spoolscan.forwarder.delivery import ConnectionLost, Mail, Outcome
from spoolscan.forwarder.protocol import Client
from spoolscan.nexthop.url import Address

MESSAGE = b"Subject: x\r\n\r\nx\r\n"


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
