"""The routes over SMTP and LMTP: connections kept for the next message, and found again.

A connection is used again until it has carried ``messages`` of them or was idle for ``idle``
seconds.  One that the server closed meanwhile is replaced without fuss, as long as the server said
nothing to the message.  Where TLS is only wished for (``tls=may``) and the handshake fails, the
server is asked once more, in the clear.  How many are open at once is the daemon's to bound: one
for each delivery.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace

from spoolscan import config, log
from spoolscan.forwarder.connection import Connection
from spoolscan.forwarder.delivery import ConnectionLost, Mail, Outcome, Settle, TlsFailed
from spoolscan.forwarder.protocol import Client
from spoolscan.nexthop.options import Options
from spoolscan.nexthop.tls import Tls, prepare
from spoolscan.nexthop.url import Address


class SmtpRoute:
    """SMTP to one next hop; LMTP where ``lmtp`` says so."""

    def __init__(
        self,
        name: str,
        address: Address,
        hostname: str,
        settings: config.Forwarder,
        options: Options = Options(),  # noqa: B008 - frozen
        *,
        lmtp: bool = False,
    ) -> None:
        """``hostname`` is what EHLO says.  Raises ConfigError where TLS cannot be as it is set."""
        self.name = name
        self._options = options
        self._tls = prepare(options, address.host)
        self._hostname = hostname
        self._address = address
        self._settings = settings
        self._lmtp = lmtp
        self._idle: dict[Connection, float] = {}  # since when, by the loop's clock; oldest first
        self._timer: asyncio.TimerHandle | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    async def deliver(self, mail: Mail, settle: Settle) -> None:
        """See `Route.deliver`."""
        step = self._settings.recipients
        if len(mail.recipients) <= step:
            return await self._send(mail, settle)
        for first in range(0, len(mail.recipients), step):
            batch = replace(mail, recipients=mail.recipients[first : first + step])
            await self._send(batch, settle)
        return None

    async def close(self) -> None:
        """Say goodbye on all idle connections."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for connection in list(self._idle):
            self._leave(connection)
        if self._leaving:
            await asyncio.wait(self._leaving)

    async def _send(self, mail: Mail, settle: Settle) -> None:
        todo = len(mail.recipients)

        async def count(known: Mapping[int, Outcome]) -> None:
            nonlocal todo
            await settle(known)
            todo -= len(known)

        while True:
            kept = self._take()
            connection = kept or await self._connect()
            try:
                await connection.send(mail, count)
            except ConnectionLost:
                if kept is not None and not kept.heard:
                    continue  # closed while it was idle; each turn uses one of them up
                if todo:
                    raise
            finally:
                self._keep(connection)
            return

    async def _connect(self) -> Connection:
        try:
            return await self._open(self._options, self._tls)
        except TlsFailed as error:
            if self._options.tls != "may":
                raise
            log.event("forwarder", "-", logging.WARNING, hop=self.name, in_the_clear=error)
            return await self._open(replace(self._options, tls="none"), None)

    async def _open(self, options: Options, tls: Tls | None) -> Connection:
        client = Client(
            self._hostname,
            str(self._address),
            options,
            lmtp=self._lmtp,
            eight_bit=self._settings.eight_bit == "send",
            chunking=self._settings.chunking,
        )
        return await Connection.open(self._address, client, self._settings.timeouts, tls)

    def _take(self) -> Connection | None:
        """The connection used last that still stands."""
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.is_ready:
                return connection
        return None

    def _keep(self, connection: Connection) -> None:
        if not connection.is_ready:
            return
        self._idle[connection] = asyncio.get_running_loop().time()
        if connection.sent >= self._settings.messages:
            self._leave(connection)
        elif self._timer is None:
            self._leave_idle()

    def _leave_idle(self) -> None:
        """Those that were idle for long; again when there will be more of them."""
        loop = asyncio.get_running_loop()
        self._timer = None
        for connection, since in list(self._idle.items()):
            due = since + self._settings.idle
            if due > loop.time():
                self._timer = loop.call_at(due, self._leave_idle)
                break
            self._leave(connection)

    def _leave(self, connection: Connection) -> None:
        self._idle.pop(connection, None)
        task = asyncio.get_running_loop().create_task(connection.quit())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
