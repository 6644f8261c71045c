"""One connection to a next hop: the sans-I/O client, a socket under it, and clocks beside it.

Every wait has an end (RFC 5321 section 4.5.3.2), counted for the whole wait: a server that drips
bytes gains nothing.  What arrives is given to the client in the moment it arrives, so a reply that
comes too early is seen as such.  The end of a message leaves with its last bytes, when all before
these has left our buffers; two pieces of it are kept at most.

What came before a handshake ends with it: bytes a server, or somebody on the way, sends behind its
220 to STARTTLS break the connection, in the clear as replies nobody asked for, later as bad TLS.

Fails with NextHopDown, TlsFailed or ConnectionLost; the connection is closed then and of no more
use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Self, cast

from spoolscan.config import Timeouts
from spoolscan.forwarder.delivery import ConnectionLost, Mail, NextHopDown, Settle
from spoolscan.forwarder.protocol import Client, Phase
from spoolscan.nexthop.tls import Tls, reason
from spoolscan.nexthop.url import Address

_GOODBYE: Final = 2.0  # seconds to wait for the answer to QUIT; nothing hangs on it
_READY: Final = (Phase.READY,)
_SAID: Final = (Phase.READY, Phase.BODY, Phase.ANSWER)  # the envelope was answered


class Connection(asyncio.Protocol):
    """Made by `open`; then `send` any number of messages, one after another; then `quit`."""

    def __init__(self, client: Client, timeouts: Timeouts) -> None:
        self.sent = 0  # messages begun
        self.heard = False  # the server has answered anything to the message begun last
        self._client = client
        self._timeouts = timeouts
        self._transport: asyncio.Transport | None = None
        self._failure: ConnectionLost | NextHopDown | None = None
        self._writable = True
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None  # of who waits for news
        self._phases: Sequence[Phase] = ()  # that are news
        self._deadline = 0.0  # by the loop's clock; what the wait ends with then
        self._overdue = ""
        self._alarm: asyncio.TimerHandle | None = None  # goes off at the deadline, or earlier

    @classmethod
    async def open(
        cls, address: Address, client: Client, timeouts: Timeouts, tls: Tls | None = None
    ) -> Self:
        """Connect and say hello; ``tls`` where the client may ask for it.

        Raises NextHopDown, TlsFailed.
        """
        # The place to look MX and A up, and to try several addresses in order.
        connection = cls(client, timeouts)
        loop = connection._loop
        # Not by `_shake_hands`: nothing may be heard or said before.
        ssl = tls.context if tls is not None and tls.implicit else None
        name = tls.name if tls is not None and tls.implicit else None
        try:
            async with asyncio.timeout(timeouts.connect):
                if address.path:
                    await loop.create_unix_connection(
                        lambda: connection, address.path, ssl=ssl, server_hostname=name
                    )
                else:
                    await loop.create_connection(
                        lambda: connection, *address.pair, ssl=ssl, server_hostname=name
                    )
        except TimeoutError:
            why = f"{address}: no connection within {timeouts.connect:g} s"
            raise NextHopDown(why) from None
        except OSError as error:
            raise NextHopDown(f"{address}: {reason(error)}", error.errno or 0) from error
        try:
            await connection._until((Phase.READY, Phase.TLS), timeouts.greeting)
            if client.phase is Phase.TLS and tls is not None:
                await connection._shake_hands(tls)
                client.secured()
                connection._flush()
                await connection._until(_READY, timeouts.command)
        except BaseException:
            connection.abort()
            raise
        return connection

    async def _shake_hands(self, tls: Tls) -> None:
        """Raises TlsFailed."""
        plain = cast(asyncio.Transport, self._transport)
        start_tls = self._loop.start_tls
        try:
            async with asyncio.timeout(self._timeouts.command):
                secure = await start_tls(plain, self, tls.context, server_hostname=tls.name or None)
        except TimeoutError:
            raise self._client.lost(f"no TLS within {self._timeouts.command:g} s") from None
        except OSError as error:
            raise self._client.lost(reason(error)) from error
        if secure is None:  # so says the type; asyncio gives one or raises
            raise self._client.lost("no TLS")
        self.connection_made(secure)

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # Not 0: under TLS asyncio would pause at an empty buffer, and never resume.
        self._transport.set_write_buffer_limits(high=1, low=0)

    def data_received(self, data: bytes) -> None:
        if self._failure is not None:
            return
        try:
            self._client.receive(data)
            self.heard = True
            self._flush()
        except (ConnectionLost, NextHopDown) as error:
            self._fail(error)
        if self._failure is not None or self._client.phase in self._phases or self._client.is_known:
            self._wake()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._client.phase is not Phase.CLOSED:
            self._fail(self._client.lost(f"the connection was lost ({exc or 'closed by peer'})"))
        self._wake()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._wake()

    # The route's side

    @property
    def is_ready(self) -> bool:
        """Another message may be sent."""
        return self._failure is None and self._client.phase is Phase.READY

    async def send(self, mail: Mail, settle: Settle) -> None:
        """Send one message; ``settle`` hears of each recipient as soon as the server has spoken.

        Raises ConnectionLost; TemporaryFailure and Corrupt as ``mail.content`` and ``settle`` do.
        """
        self.sent += 1
        self.heard = False
        client, clocks = self._client, self._timeouts
        try:
            client.begin(mail)
            self._flush()
            await self._until(_SAID, clocks.command, settle)
            if client.phase is Phase.BODY:
                async for chunk in mail.content():
                    await self._stands(settle)
                    client.body(chunk)
                    await self._drain(settle)
                await self._stands(settle)
                client.end()
                await self._drain(settle)
            if client.phase is Phase.ANSWER:
                await self._until(_READY, clocks.answer, settle)
        except BaseException:
            self.abort()
            raise

    async def quit(self) -> None:
        """Say QUIT and close.  Never raises: nothing hangs on how it goes."""
        try:
            if self.is_ready:
                self._client.quit()
                self._flush()
                await self._until((Phase.CLOSED,), _GOODBYE)
        except ConnectionLost:
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        """Close at once; what was begun and not answered is not delivered, as far as we know."""
        self._failure = self._failure or self._client.lost("closed by us")
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, error: ConnectionLost | NextHopDown) -> None:
        self._failure = self._failure or error
        self.abort()

    def _flush(self) -> None:
        data = self._client.to_send()
        if data and self._transport is not None:
            self._transport.write(data)

    async def _drain(self, settle: Settle) -> None:
        """Write what there is, and return when the kernel has all of it."""
        self._flush()
        self._begin_wait(self._timeouts.block, "took nothing for {:g} s")
        while not self._writable and self._failure is None:
            await self._wait()
        await self._stands(settle)

    async def _stands(self, settle: Settle) -> None:
        """Raises what the connection ended with, if it has."""
        if self._failure is not None:
            if known := self._client.outcomes():
                await settle(known)
            raise self._failure

    async def _until(
        self, phases: Sequence[Phase], seconds: float, settle: Settle | None = None
    ) -> None:
        """Wait for one of ``phases``.  What was answered counts, even where the rest is lost."""
        client = self._client
        self._begin_wait(seconds, "no answer within {:g} s", phases)
        while True:
            if settle is not None and (known := client.outcomes()):
                await settle(known)
            if self._failure is not None:
                raise self._failure
            if client.phase in phases:
                return
            await self._wait()

    # One alarm for the whole conversation: it is set anew only when it goes off too early.

    def _begin_wait(self, seconds: float, overdue: str, phases: Sequence[Phase] = ()) -> None:
        self._phases = phases
        self._deadline = self._loop.time() + seconds
        self._overdue = overdue.format(seconds)
        if self._alarm is None or self._alarm.when() > self._deadline:
            self._set_alarm()

    async def _wait(self) -> None:
        """Until there may be news."""
        if self._alarm is None:  # it went off while nobody waited: for the disk was, say
            self._set_alarm()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_at(self._deadline, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self._waiter is None:
            return
        if self._loop.time() < self._deadline:
            self._set_alarm()
        else:
            self._fail(self._client.lost(self._overdue))
            self._wake()
