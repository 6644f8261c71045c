"""The way of a connection's bytes: over a socket, in the clear or under TLS, or over pipes.

TLS may begin in the middle (STARTTLS): what the peer sent in the clear before the handshake is
never read as if it had come after it (RFC 3207 section 5), for the stream under TLS is
a new one, and `hush` tells of whatever the old one still holds.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import IO, Final, Self

from spoolscan.receiver.policy import IPAddress
from spoolscan.receiver.proxyheader import BadHeader, read_header, wanted
from spoolscan.receiver.stream import Stream

_PROXY_SECONDS: Final = 5.0  # a load balancer need not think about what it says first
_LINGER_SECONDS: Final = 2.0
_LINGER_BYTES: Final = 1_048_576


class Link:
    """One connection's two directions.  OSError, from any of its methods: the peer is gone.

    ``tls`` is protocol and cipher, as ``TLSv1.3 TLS_AES_256_GCM_SHA384``; "" in the clear.
    """

    def __init__(self, reading: Stream, writing: Stream, sock: socket.socket | None = None) -> None:
        self._reading = reading
        self._writing = writing  # the same, but for pipes
        self._sock = sock
        self._in_handshake = False
        self.tls = _tls(writing)

    @classmethod
    async def over_socket(
        cls, sock: socket.socket, context: ssl.SSLContext | None = None, seconds: float = 60.0
    ) -> Self:
        """``context``: TLS from the first byte on, its handshake made in so many seconds."""
        stream = Stream(tls=context is not None)
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: stream,
            sock,
            ssl=context,
            ssl_handshake_timeout=seconds if context else None,
            ssl_shutdown_timeout=_LINGER_SECONDS if context else None,
        )
        return cls(stream, stream, sock)

    @classmethod
    async def over_pipes(cls, source: IO[bytes], sink: IO[bytes]) -> Self:
        """Raises ValueError where one is a file on a disk."""
        loop = asyncio.get_running_loop()
        reading, writing = Stream(), Stream()
        await loop.connect_read_pipe(lambda: reading, source)
        await loop.connect_write_pipe(lambda: writing, sink)
        return cls(reading, writing)

    async def read(self, seconds: float) -> bytes:
        """The next segment; b"" at the end.

        Raises TimeoutError where none comes in so many seconds.
        """
        return await self._reading.read(seconds)

    def hurry(self, seconds: float) -> None:
        """A `read` under way waits so many seconds more at most."""
        self._reading.hurry(seconds)

    async def send(self, data: bytes, seconds: float) -> None:
        """Raises TimeoutError where the peer does not take it."""
        self._writing.transport.write(data)
        if self._writing.is_full:
            async with asyncio.timeout(seconds):
                await self._writing.drain()

    def hush(self) -> bool:
        """Read nothing more in the clear; False where the peer sent more than was read."""
        self._reading.transport.pause_reading()
        more = self._reading.has_unread or (self._sock is not None and sent_early(self._sock))
        if more:
            self._reading.transport.resume_reading()
        return not more

    async def secure(self, context: ssl.SSLContext, seconds: float) -> None:
        """Make the handshake that the peer was told to begin.  Raises OSError, TimeoutError."""
        stream = Stream(tls=True)
        self._in_handshake = True
        transport = await asyncio.get_running_loop().start_tls(
            self._writing.transport,
            stream,
            context,
            server_side=True,
            ssl_handshake_timeout=seconds,
            ssl_shutdown_timeout=_LINGER_SECONDS,
        )
        if transport is None:
            raise ConnectionResetError("the peer hung up in the handshake")
        self._reading.leave()
        stream.connection_made(transport)  # which start_tls leaves to us
        self._in_handshake = False
        self._reading = self._writing = stream
        self.tls = _tls(stream)

    async def linger(self) -> None:
        """Let the peer read our last words.

        A socket closed with bytes unread is reset, and what was said last is lost with it.
        """
        with suppress(OSError):  # a TimeoutError among them
            async with asyncio.timeout(_LINGER_SECONDS):
                if self.tls:  # which says good-bye by itself
                    self._writing.transport.close()
                    await self._writing.gone()
                    return
                self._writing.transport.write_eof()
                await asyncio.sleep(0)  # a pipe is closed by it, and gone in the next turn
                left = _LINGER_BYTES
                while left > 0 and (dropped := await self.read(_LINGER_SECONDS)):
                    left -= len(dropped)

    def abort(self) -> None:
        """End now."""
        self._writing.abort()
        if self._reading is not self._writing:
            self._reading.abort()

    async def close(self) -> None:
        """End now, and wait until it has."""
        self.abort()
        if not self._in_handshake:  # of which the stream in the clear would never hear
            await self._writing.gone()


def _tls(stream: Stream) -> str:
    under = stream.transport.get_extra_info("ssl_object")
    cipher = under.cipher() if under is not None else None
    return f"{under.version()} {cipher[0]}" if cipher else ""


async def introduction(sock: socket.socket) -> IPAddress | None:
    """Take the PROXY header that a connection begins with, and nothing behind it; whom it names.

    Raises BadHeader, OSError, TimeoutError.
    """
    header = bytearray()
    async with asyncio.timeout(_PROXY_SECONDS):
        while count := wanted(header):
            piece = await asyncio.get_running_loop().sock_recv(sock, count)
            if not piece:
                raise BadHeader("PROXY header cut short")
            header += piece
    return read_header(bytes(header))


def sent_early(sock: socket.socket) -> bytes:
    """One byte, where the peer sent any that we did not read."""
    try:
        return sock.recv(1, socket.MSG_PEEK)
    except OSError:
        return b""
