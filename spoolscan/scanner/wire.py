"""Between the scanner daemon and a worker's two halves: frames of JSON with descriptors.

A frame is four bytes of length (big-endian), then that many bytes of JSON, over a socket pair;
descriptors travel with its first bytes.  JSON and not pickle, for the worker reads hostile mail and
may be anybody's by now.
"""

from __future__ import annotations

import json
import math
import os
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

LONGEST: Final = 16 * 1024 * 1024  # bytes of one frame
MOST_DESCRIPTORS: Final = 100
ENDED: Final = "it ended"
_LENGTH: Final = struct.Struct("!I")
_PIECE: Final = 1 << 16  # bytes read at a time


class Broken(Exception):  # the other end died, or does not speak this
    """No whole, well-formed frame came."""


def send(peer: socket.socket, content: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Raises OSError."""
    data = json.dumps(content).encode("ascii")
    frame = _LENGTH.pack(len(data)) + data
    sent = socket.send_fds(peer, [frame], descriptors) if descriptors else 0
    if sent < len(frame):
        peer.sendall(frame[sent:])


def receive(
    peer: socket.socket, deadline: float = math.inf
) -> tuple[dict[str, Any], list[int]] | None:
    """One frame and its descriptors (the caller closes them); None at the end.

    Raises Broken, OSError, and TimeoutError where ``deadline`` (of `time.monotonic`) passes,
    however the frame drips in.
    """
    _wait_until(deadline, peer)
    head, descriptors, _, _ = socket.recv_fds(peer, _LENGTH.size, MOST_DESCRIPTORS)
    try:
        if not head and not descriptors:
            return None
        if len(head) != _LENGTH.size:
            raise Broken("a cut frame")
        (length,) = _LENGTH.unpack(head)
        if length > LONGEST:
            raise Broken(f"a frame of {length} bytes")
        content = _content(_exactly(peer, length, deadline))
    except BaseException as error:
        for descriptor in descriptors:
            os.close(descriptor)
        if isinstance(error, ConnectionError):
            raise Broken(str(error)) from error
        raise
    return content, descriptors


def _content(data: bytes | bytearray) -> dict[str, Any]:
    """Raises Broken."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Broken(str(error)) from error
    if not isinstance(content, dict):
        raise Broken("a frame that is no object")
    return content


class Frames:
    """What comes over a socket that is not waited for, a frame at a time."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._descriptors: list[int] = []

    def hear(self, peer: socket.socket) -> Iterator[tuple[dict[str, Any], list[int]]]:
        """What is there of a frame, and it where it is whole; the caller closes its descriptors.

        Not a byte of the next one is read, for its descriptors would come along.  Raises
        BlockingIOError where nothing is, Broken (at the end, too) and OSError; then `close`.
        """
        for _ in ("its length", "the rest"):
            try:
                size = min(self._missing(), _PIECE)
                data, descriptors, _, _ = socket.recv_fds(peer, size, MOST_DESCRIPTORS)
            except ConnectionError as error:  # it ended, and had not read all that we said
                raise Broken(ENDED) from error
            self._descriptors += descriptors
            if not data:
                raise Broken(ENDED)
            if len(self._descriptors) > MOST_DESCRIPTORS:
                raise Broken("descriptors without end")
            self._data += data
            if self._missing() == 0:
                content = _content(self._data[_LENGTH.size :])
                self._data.clear()
                descriptors, self._descriptors = self._descriptors, []
                yield content, descriptors
                return

    def _missing(self) -> int:
        """Bytes of the frame, or of its length while that is not known.  Raises Broken."""
        if len(self._data) < _LENGTH.size:
            return _LENGTH.size - len(self._data)
        (length,) = _LENGTH.unpack_from(self._data)
        if length > LONGEST:
            raise Broken(f"a frame of {length} bytes")
        return int(_LENGTH.size + length - len(self._data))

    def close(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []


def _wait_until(deadline: float, peer: socket.socket) -> None:
    """Raises TimeoutError where it has passed."""
    if deadline == math.inf and peer.gettimeout() is None:
        return  # a locked worker may not even set what is set
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    peer.settimeout(None if left == math.inf else left)


def _exactly(peer: socket.socket, length: int, deadline: float) -> bytes:
    data = bytearray()
    while len(data) < length:
        _wait_until(deadline, peer)
        piece = peer.recv(min(length - len(data), 1 << 16))
        if not piece:
            raise Broken("a cut frame")
        data += piece
    return bytes(data)
