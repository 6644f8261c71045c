"""``/health`` and ``/metrics`` by HTTP/1.0, for a monitor on this host or this network.

A handful of connections, one short request each, nothing is changed by any of them.  However often
it is asked, the spool is looked at every five seconds at most.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from spoolscan import log
from spoolscan.config import Config, host_port
from spoolscan.spool import Spool
from spoolscan.status.facts import Row, facts
from spoolscan.status.numbers import Counts, text

_FRESH: Final = 5.0  # seconds that an answer is good for
_PATIENCE: Final = 10.0  # seconds for one connection
_AT_ONCE: Final = 32
_LONGEST: Final = 8192  # bytes of a request
_REASONS: Final = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Unavailable"}


@asynccontextmanager
async def answering(settings: Config, spool: Spool, stage: str) -> AsyncIterator[int]:
    """Answer meanwhile, at ``[metrics] listen``; gives the port, 0 for none.

    A port that cannot be had is logged: mail does not wait for a monitor.
    """
    if not settings.metrics.listen:
        yield 0
        return
    page = Pages(settings, spool)
    try:
        host, port = host_port(settings.metrics.listen)
        server = await asyncio.start_server(page.answer, host, port, limit=_LONGEST)
    except OSError as error:
        where = settings.metrics.listen
        log.event(stage, "-", logging.ERROR, event="metrics", listen=where, error=error)
        yield 0
        return
    at = server.sockets[0].getsockname()[1]
    log.event(stage, event="metrics", listen=settings.metrics.listen, port=at)
    try:
        yield at
    finally:
        server.close()


class Pages:
    """What is answered; the facts are shared by all who ask within five seconds."""

    def __init__(self, settings: Config, spool: Spool) -> None:
        self._settings = settings
        self._spool = spool
        self._counts: Counts | None = None
        self._looked = -_FRESH
        self._rows: list[Row] = []
        self._metrics = ""
        self._turn = asyncio.Lock()
        self._open = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request.  Never raises."""
        self._open += 1
        try:
            if self._open <= _AT_ONCE:
                async with asyncio.timeout(_PATIENCE):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(await self.respond(head))
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asked has gone, or is no monitor
        except Exception as error:
            log.failure("jobs", "-", error)
        finally:
            self._open -= 1
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def respond(self, head: bytes) -> bytes:
        """The whole answer to a request's head."""
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method not in (b"GET", b"HEAD"):
            status, body = 405, "GET or HEAD\n"
        elif path == b"/health":
            await self._look()
            troubles = [f"{row.id}: {row.trouble}\n" for row in self._rows if row.trouble]
            status, body = (503, "".join(troubles)) if troubles else (200, "ok\n")
        elif path == b"/metrics":
            await self._look()
            status, body = 200, self._metrics
        else:
            status, body = 404, "/health or /metrics\n"
        content = body.encode("utf-8", "backslashreplace")
        version = "; version=0.0.4" if path == b"/metrics" else ""
        lines = (
            f"HTTP/1.0 {status} {_REASONS[status]}\r\n"
            f"Content-Type: text/plain{version}; charset=utf-8\r\n"
            f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        )
        return lines.encode("ascii") + (b"" if method == b"HEAD" else content)

    async def _look(self) -> None:
        async with self._turn:
            if time.monotonic() - self._looked >= _FRESH:
                await asyncio.to_thread(self._look_now)
                self._looked = time.monotonic()

    def _look_now(self) -> None:
        if self._counts is None:
            self._counts = Counts(self._settings)
        self._counts.look()
        self._rows = facts(self._settings, self._spool, time.time())
        self._metrics = text(self._rows, self._counts)
