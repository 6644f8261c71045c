"""One end of a transport: what came and was not read yet, who waits for more, and until when.

In place of asyncio's streams: a segment goes to the one who waits for it as it came, and one timer
serves all the times that a connection waits, for it is moved only when it rings too early.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

SEGMENT: Final = 65_536  # bytes given out at a time; twice as many may wait to be read


class Stream(asyncio.Protocol):
    """For one reader and one writer at a time.  ``tls``: its transport is one."""

    def __init__(self, *, tls: bool = False) -> None:
        self._loop = asyncio.get_running_loop()
        self._tls = tls
        self._unread = bytearray()
        self._holds = False  # the transport was told to read no more
        self._ended = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[bytes] | None = None
        self._until = 0.0  # when the reader has waited for long enough; time of the loop
        self._timer: asyncio.TimerHandle | None = None
        self._writer: asyncio.Future[None] | None = None  # done when the kernel has all of it
        self._gone = self._loop.create_future()
        self._transport: asyncio.Transport | None = None

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None  # noqa: S101 - whoever made us has connected us
        return self._transport

    # -- what the loop calls -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # or half of one: a pipe's
        if isinstance(transport, asyncio.WriteTransport):
            # Drained shall mean that the kernel has it all.  TLS compares by >=: with a limit of 0
            # it would wait with nothing to be written.
            transport.set_write_buffer_limits(high=1, low=0)
        self._hold()

    def data_received(self, data: bytes) -> None:
        if self._waits and len(data) <= SEGMENT:
            self._give(data)
            return
        self._unread += data
        if self._waits:
            self._give(self._taken())
        if self._transport is not None:  # which start_tls makes known after the first data only
            self._hold()

    def eof_received(self) -> bool:
        """Whether the other direction stays open."""
        self._end(None)
        return not self._tls

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)
        if self._writer is not None and not self._writer.done():
            self._writer.set_exception(exc or ConnectionResetError("the connection was lost"))
        if not self._gone.done():
            self._gone.set_result(None)
        if self._timer is not None:
            self._timer.cancel()

    def pause_writing(self) -> None:
        self._writer = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)
        self._writer = None

    # -- what a link calls -------------------------------------------------------------------------

    @property
    def has_unread(self) -> bool:
        return bool(self._unread)

    async def read(self, seconds: float) -> bytes:
        """The next segment; b"" at the end.

        Raises TimeoutError where none comes in so many seconds, OSError where the peer is gone.
        """
        if self._unread:
            return self._taken()
        if self._error is not None:
            raise self._error
        if self._ended:
            return b""
        self._reader = self._loop.create_future()
        self._until = self._loop.time() + seconds
        self._set_timer()
        return await self._reader

    def hurry(self, seconds: float) -> None:
        """Who reads now is to wait so many seconds more at most."""
        if self._waits:
            self._until = min(self._until, self._loop.time() + seconds)
            self._set_timer()

    @property
    def is_full(self) -> bool:
        """Whether the kernel has not yet all that was written."""
        return self._writer is not None

    async def drain(self) -> None:
        """Return when it has.  Raises OSError."""
        if self._writer is not None:
            await self._writer

    async def gone(self) -> None:
        """Return when the connection is."""
        await asyncio.shield(self._gone)

    def abort(self) -> None:
        """End now.  Once it is gone this does nothing."""
        if self._gone.done():  # a pipe's transport cannot be told so then
            return
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()
        else:  # of a pipe
            self.transport.close()

    def leave(self) -> None:
        """Its transport is another's now, and it will not hear of the end."""
        if self._timer is not None:
            self._timer.cancel()

    # -- who waits ---------------------------------------------------------------------------------

    @property
    def _waits(self) -> bool:
        return self._reader is not None and not self._reader.done()

    def _give(self, data: bytes) -> None:
        assert self._reader is not None  # noqa: S101 - _waits has said so
        self._reader.set_result(data)

    def _hold(self) -> None:
        if len(self._unread) > 2 * SEGMENT and not self._holds:
            self._holds = True
            self.transport.pause_reading()

    def _taken(self) -> bytes:
        data = bytes(self._unread[:SEGMENT])
        del self._unread[:SEGMENT]
        if self._holds and len(self._unread) <= SEGMENT:
            self._holds = False
            self.transport.resume_reading()
        return data

    def _end(self, error: Exception | None) -> None:
        self._ended = True
        self._error = error
        if self._reader is None or self._reader.done():
            return
        if error is None:
            self._reader.set_result(b"")
        else:
            self._reader.set_exception(error)

    def _set_timer(self) -> None:
        if self._timer is not None:
            if self._timer.when() <= self._until:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(self._until, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if not self._waits:
            return
        if self._loop.time() < self._until:
            self._set_timer()
        elif self._reader is not None:
            self._reader.set_exception(TimeoutError())
