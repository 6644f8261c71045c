"""Files smuggled in HTML and scripts: data: URIs, base64, and arrays of numbers.

A page builds a file from its own text and offers it for download (atob, Blob, msSaveBlob); the
pieces stand in it as base64, often cut into string literals, as hexadecimal, or as bytes in
decimal.  Any long run of them is decoded; what is a file by its content is a member.  A data: URI
is a member whatever it holds.  Works on any text, so that it also finds base64 in mails quoted in
text.  Linear: each run is read once.
"""

from __future__ import annotations

import binascii
import re
import urllib.parse
from collections.abc import Iterator
from typing import Final

from spoolscan.scanner import base64
from spoolscan.scanner.bounds import Budget
from spoolscan.scanner.content import sniff
from spoolscan.scanner.unpack.meter import Meter
from spoolscan.scanner.unpack.seam import Member
from spoolscan.verdict import Doubt

_CONTROLS: Final = bytes(range(9)) + bytes(range(14, 27))
_HEAD: Final = 4096
_DATA_URI: Final = re.compile(
    rb"(?i)data:(?P<type>[\w.+/-]{0,100}+)(?P<parameters>(?:;[\w.+=-]{0,80}+){0,8}+),"
    rb"(?P<body>[^\"'`<>)\\]*+)"
)
_BASE64: Final = re.compile(
    rb"[A-Za-z0-9+/]{40,}+(?:(?:[\"'`]\s{0,8}[+,]\s{0,80}[\"'`]|\\\r?\n|\\n|\r?\n[ \t>]{0,8})"
    rb"[A-Za-z0-9+/]++)*+={0,2}"
)
_SHORT_BASE64: Final = re.compile(
    rb"[\"'`](?:TV[qprobA]|UEsDB|0M8R4K|JVBER|UmFyI|N3q8r)[A-Za-z0-9+/]{8,}+"
)
_NUMBERS: Final = re.compile(
    rb"(?i)\[\s{0,8}(?:0x[0-9a-f]{1,2}|\d{1,3})(?:\s{0,8},\s{0,8}(?:0x[0-9a-f]{1,2}|\d{1,3})){15,}+"
)
_NUMBER: Final = re.compile(rb"(?i)0x[0-9a-f]{1,2}|\d{1,3}")
_HEX: Final = re.compile(
    rb"(?:\\x[0-9A-Fa-f]{2}){16,}+|(?:%[0-9A-Fa-f]{2}){16,}+|(?:[0-9A-Fa-f]{2}){32,}+"
)
_NOT_HEX: Final = bytes(sorted(set(range(256)) - set(b"0123456789abcdefABCDEF")))
_NOTHING: Final = frozenset(("application/octet-stream", "text/plain"))


class Html:
    """See the module."""

    name = "HTML"

    def recognises(self, data: bytes) -> bool:
        head = data[:_HEAD]
        if head.translate(None, _CONTROLS) != head:
            return False
        return any(pattern.search(data) for pattern in (_DATA_URI, _BASE64, _NUMBERS, _HEX))

    def members(self, data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
        meter = Meter(budget, len(data))
        for uri in _DATA_URI.finditer(data):
            content = _of_uri(uri, budget)
            if content:
                meter.member()
                yield Member("", content)
        for content in _runs(data, meter):
            budget.check_time()
            if sniff(content) not in _NOTHING:
                meter.member()
                yield Member("", content)


def _of_uri(uri: re.Match[bytes], budget: Budget) -> bytes:
    body = urllib.parse.unquote_to_bytes(uri["body"])
    if b";base64" in uri["parameters"].lower():
        return next(base64.readings(body, budget))[0]
    budget.take_bytes(len(body))
    return body


def _runs(data: bytes, meter: Meter) -> Iterator[bytes]:
    """Every long run of encoded bytes outside data: URIs, decoded."""
    for run in _BASE64.finditer(data):
        if not data.endswith(b",", run.start() - 1, run.start()):
            yield from (read for read, _ in base64.readings(_joined(run[0]), meter.budget))
    for numbers in _NUMBERS.finditer(data):
        values = [int(value, 0) for value in _NUMBER.findall(numbers[0])]
        meter.take(len(values))
        yield bytes(value & 0xFF for value in values)
    for digits in _HEX.finditer(data):
        text = digits[0].translate(None, _NOT_HEX)
        meter.take(len(text) // 2)
        yield binascii.unhexlify(text[: len(text) // 2 * 2])


def _joined(run: bytes) -> bytes:
    return run.replace(b"\\n", b"")
