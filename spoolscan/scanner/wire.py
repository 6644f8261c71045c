"""Between the scanner daemon and a worker: frames of JSON with descriptors, over a socket pair.

A frame is four bytes of length (big-endian), then that many bytes of JSON; descriptors travel with
the length.  JSON and not pickle, for the worker reads hostile mail and may be anybody's by now.
"""

from __future__ import annotations

import json
import math
import os
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any, Final

LONGEST: Final = 16 * 1024 * 1024  # bytes of one frame
MOST_DESCRIPTORS: Final = 100
_LENGTH: Final = struct.Struct("!I")


class Broken(Exception):  # the other end died, or does not speak this
    """No whole, well-formed frame came."""


def send(peer: socket.socket, content: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Raises OSError."""
    data = json.dumps(content).encode("ascii")
    socket.send_fds(peer, [_LENGTH.pack(len(data))], descriptors)
    peer.sendall(data)


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
        content = json.loads(_exactly(peer, length, deadline))
        if not isinstance(content, dict):
            raise Broken("a frame that is no object")
    except BaseException as error:
        for descriptor in descriptors:
            os.close(descriptor)
        if isinstance(error, ValueError | RecursionError | ConnectionError):
            raise Broken(str(error)) from error
        raise
    return content, descriptors


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
