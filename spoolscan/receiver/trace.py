"""The Received field that goes on top of every message (RFC 5321 4.4)::

    Received: from mail.example.org (mx1.example.org [192.0.2.7])
            (using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384)
            by gate.example.com (spoolscan 0.1.0) with ESMTPS id 20261121t053000z-d6m01v
            for <bob@example.com>;
            Sat, 21 Nov 2026 05:30:00 +0000

Whatever a peer called itself, the field stays one field of printable ASCII: what cannot stand in a
host name becomes ``?`` (the envelope keeps it as it was).  Recipients are named only where there is
a single one, so that nobody learns who else got a copy.  It tells of the hop itself, also where
XFORWARD said that the message began at another.
"""

from __future__ import annotations

import string
from email.utils import format_datetime
from typing import Final

from spoolscan import __version__
from spoolscan.envelope import Envelope
from spoolscan.receiver.client import Client
from spoolscan.receiver.reply import printable

_HOST: Final = frozenset(string.ascii_letters + string.digits + "-._:[]")
_HOST_CHARACTERS: Final = 255


def received(client: Client, envelope: Envelope, queue_id: str, host: str) -> bytes:
    """The field, folded, with its line ends."""
    literal = _literal(str(client.address or ""))
    peer = f"{_host(client.name)} {literal}" if client.name else literal
    lines = [f"Received: from {_host(client.helo)} ({peer})"]
    if client.tls:
        version, _, cipher = client.tls.partition(" ")
        lines.append(f"(using {_host(version)} with cipher {_host(cipher)})")
    lines.append(f"by {host} (spoolscan {__version__}) with {envelope.protocol} id {queue_id}")
    if len(envelope.recipients) == 1:
        address = envelope.recipients[0].address
        lines.append(f"for <{printable(address, len(address))}>")
    lines[-1] += ";"
    lines.append(format_datetime(envelope.arrived))
    return ("\r\n\t".join(lines) + "\r\n").encode("ascii")


def _host(name: str) -> str:
    return "".join(char if char in _HOST else "?" for char in name[:_HOST_CHARACTERS])


def _literal(address: str) -> str:
    if not address:
        return "local"
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
