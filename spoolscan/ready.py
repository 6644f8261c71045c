"""sd_notify(3): tell whoever started us how we are, over the datagram socket they named."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(state: str) -> None:
    """Send ``READY=1`` and the like to $NOTIFY_SOCKET; nobody there is no error."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.connect("\0" + path[1:] if path.startswith("@") else path)
        peer.send(state.encode("ascii"))
