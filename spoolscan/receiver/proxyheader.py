"""The header that a load balancer puts before a connection it hands on: PROXY protocol 1 and 2.

As in proxy-protocol.txt of HAProxy.  Pure: `wanted` says how many bytes to read next, so that not
one of the connection behind the header is taken with it; `read_header` says what it means.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from spoolscan.receiver.policy import IPAddress, parse_peer

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_HEAD: Final = 16  # bytes of version 2 before its addresses
_LINE: Final = 107  # bytes of version 1, with CRLF
_LONGEST: Final = 1024  # bytes of version 2 behind its head: addresses, and TLVs nobody reads
_ADDRESS_BYTES: Final = {0x1: (4, 12), 0x2: (16, 36)}  # by family: one address, the whole block
_STREAM: Final = 0x1
_LINE_FORM: Final = re.compile(
    rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) ([0-9]{1,5}) ([0-9]{1,5})\r\n"
)


class BadHeader(ValueError):
    """It is not there, or not of the form; the connection is to be closed without a word."""


def wanted(data: bytes | bytearray) -> int:
    """How many bytes more are surely of the header; 0 when it is complete.  Raises BadHeader."""
    if len(data) < len(_SIGNATURE):
        if not (_SIGNATURE.startswith(data) or b"PROXY ".startswith(data[:6])):
            raise BadHeader("no PROXY header")
        return len(_SIGNATURE) - len(data)
    if data.startswith(_SIGNATURE):
        if len(data) < _HEAD:
            return _HEAD - len(data)
        length = int.from_bytes(data[14:16])
        if length > _LONGEST:
            raise BadHeader("PROXY header too long")
        return _HEAD + length - len(data)
    if not data.startswith(b"PROXY "):
        raise BadHeader("no PROXY header")
    if data.endswith(b"\r\n"):
        return 0
    if len(data) >= _LINE:
        raise BadHeader("PROXY header too long")
    return 1


def read_header(data: bytes) -> IPAddress | None:
    """The peer's address; None where the balancer speaks for itself, or knows of none.

    Raises BadHeader.
    """
    return _binary(data) if data.startswith(_SIGNATURE) else _line(data)


def _line(data: bytes) -> IPAddress | None:
    if data.startswith(b"PROXY UNKNOWN") and data[13:14] in b" \r":
        return None
    found = _LINE_FORM.fullmatch(data)
    if found is None:
        raise BadHeader("malformed PROXY header")
    try:
        kind = ipaddress.IPv4Address if found[1] == b"TCP4" else ipaddress.IPv6Address
        source = kind(found[2].decode("ascii"))
        kind(found[3].decode("ascii"))
    except ValueError as error:
        raise BadHeader("malformed address in the PROXY header") from error
    return parse_peer(str(source))


def _binary(data: bytes) -> IPAddress | None:
    version, command = data[12] >> 4, data[12] & 0xF
    family, transport = data[13] >> 4, data[13] & 0xF
    if version != 2 or command > 1:
        raise BadHeader("PROXY header of an unknown version or command")
    if command == 0 or family not in _ADDRESS_BYTES or transport != _STREAM:
        return None
    size, block = _ADDRESS_BYTES[family]
    if len(data) < _HEAD + block:
        raise BadHeader("PROXY header without its addresses")
    return parse_peer(str(ipaddress.ip_address(data[_HEAD : _HEAD + size])))
