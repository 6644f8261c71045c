"""The way of a connection's bytes: streams over a socket, in the clear or under TLS, or over pipes.

TLS may begin in the middle (STARTTLS): what the peer sent in the clear before the handshake is
never read as if it had come after it (RFC 3207 section 5; threat 5R), for the streams under TLS
are new ones, and `hush` tells of whatever the old ones still hold.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import IO, Final, Self, cast

from spoolscan.receiver.policy import IPAddress
from spoolscan.receiver.proxyheader import BadHeader, read_header, wanted

SEGMENT: Final = 65_536  # bytes read at a time
_PROXY_SECONDS: Final = 5.0  # a load balancer need not think about what it says first
_LINGER_SECONDS: Final = 2.0
_LINGER_BYTES: Final = 1_048_576


class Link:
    """One connection's two directions.  OSError, from any of its methods: the peer is gone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._sock: socket.socket | None = None
        self._beneath: asyncio.StreamWriter | None = None  # closes all when nobody holds it
        self._in_handshake = False

    @classmethod
    async def over_socket(
        cls, sock: socket.socket, context: ssl.SSLContext | None = None, seconds: float = 60.0
    ) -> Self:
        """``context``: TLS from the first byte on, its handshake made in so many seconds."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=SEGMENT)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol,
            sock,
            ssl=context,
            ssl_handshake_timeout=seconds if context else None,
            ssl_shutdown_timeout=_LINGER_SECONDS if context else None,
        )
        _hold_nothing(transport)
        link = cls(reader, asyncio.StreamWriter(transport, protocol, reader, loop))
        link._sock = sock
        return link

    @classmethod
    async def over_pipes(cls, source: IO[bytes], sink: IO[bytes]) -> Self:
        """Raises ValueError where one is a file on a disk."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=SEGMENT)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
        nothing = asyncio.StreamReaderProtocol(asyncio.StreamReader())  # for its flow control
        transport, _ = await loop.connect_write_pipe(lambda: nothing, sink)
        _hold_nothing(transport)
        return cls(reader, asyncio.StreamWriter(transport, nothing, None, loop))

    @property
    def tls(self) -> str:
        """Protocol and cipher, as ``TLSv1.3 TLS_AES_256_GCM_SHA384``; "" in the clear."""
        under = self._writer.get_extra_info("ssl_object")
        cipher = under.cipher() if under is not None else None
        return f"{under.version()} {cipher[0]}" if cipher else ""

    async def read(self) -> bytes:
        """The next segment; b"" at the end."""
        return await self._reader.read(SEGMENT)

    async def send(self, data: bytes, seconds: float) -> None:
        """Raises TimeoutError where the peer does not take it."""
        self._writer.write(data)
        if not self.tls and not self._writer.transport.get_write_buffer_size():
            return  # the kernel has it all
        async with asyncio.timeout(seconds):
            await self._writer.drain()

    async def hush(self) -> bool:
        """Read nothing more in the clear; False where the peer sent more than was read."""
        transport = cast(asyncio.Transport, self._writer.transport)
        transport.pause_reading()
        more = self._sock is not None and bool(sent_early(self._sock))
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                more = bool(await self._reader.read(1)) or more
        if more:
            transport.resume_reading()
        return not more

    async def secure(self, context: ssl.SSLContext, seconds: float) -> None:
        """Make the handshake that the peer was told to begin.  Raises OSError, TimeoutError."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=SEGMENT)
        protocol = asyncio.StreamReaderProtocol(reader)
        self._in_handshake = True
        transport = await loop.start_tls(
            self._writer.transport,
            protocol,
            context,
            server_side=True,
            ssl_handshake_timeout=seconds,
            ssl_shutdown_timeout=_LINGER_SECONDS,
        )
        if transport is None:
            raise ConnectionResetError("the peer hung up in the handshake")
        protocol.connection_made(transport)  # which start_tls leaves to us
        _hold_nothing(transport)
        self._in_handshake = False
        self._beneath = self._writer
        self._reader = reader
        self._writer = asyncio.StreamWriter(transport, protocol, reader, loop)

    async def linger(self) -> None:
        """Let the peer read our last words.

        A socket closed with bytes unread is reset, and what was said last is lost with it.
        """
        with suppress(OSError):
            async with asyncio.timeout(_LINGER_SECONDS):
                if self.tls:  # which says good-bye by itself
                    self._writer.close()
                    await self._writer.wait_closed()
                    return
                self._writer.write_eof()
                left = _LINGER_BYTES
                while left > 0 and (dropped := await self.read()):
                    left -= len(dropped)

    def abort(self) -> None:
        """End now."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """End now, and wait until it has."""
        self.abort()
        if self._in_handshake:  # the streams in the clear would never hear of it
            return
        with suppress(OSError):
            await self._writer.wait_closed()


def _hold_nothing(transport: asyncio.WriteTransport) -> None:
    """Drained shall mean that the kernel has it all.

    TLS in asyncio compares by >=: with a limit of 0 it would wait with nothing to be written.
    """
    transport.set_write_buffer_limits(high=1, low=0)


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
