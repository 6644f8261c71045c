"""Files smuggled in HTML and scripts: data: URIs, base64, and arrays of numbers.

A page builds a file from its own text and offers it for download (atob, Blob, msSaveBlob); the
pieces stand in it as base64, often cut into string literals, as hexadecimal, or as bytes in
decimal.  Any long run of them is decoded; what is a file by its content is a member.  A data: URI
is a member whatever it holds.  Works on any text, so that it also finds base64 in mails quoted in
text.  Linear: each run is read once.
"""

from __future__ import annotations

import binascii
import codecs
import re
import urllib.parse
from collections.abc import Iterator
from typing import Any, Final

import re2

from spoolscan.scanner import base64
from spoolscan.scanner.bounds import Budget, LimitReached
from spoolscan.scanner.content import sniff
from spoolscan.scanner.traces import Traces
from spoolscan.scanner.unpack.meter import Meter
from spoolscan.scanner.unpack.seam import Member
from spoolscan.verdict import Doubt


def _compile(pattern: bytes) -> Any:  # re2 ships no types
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(pattern, options)


_CONTROLS: Final = bytes(range(9)) + bytes(range(14, 27))
_HEAD: Final = 4096  # bytes in which a text shows that it is one
_VALUE: Final = rb"(?:0x[0-9a-fA-F]{1,2}|[0-9]{1,3})"
_URI: Final = _compile(rb"(?i)data:[\w.+/-]{0,100}((?:;[\w.+=-]{0,80}){0,8}),([^\"'`<>)\\]*)")
_BASE64: Final = _compile(
    rb"[A-Za-z0-9+/]{40,}(?:(?:[\"'`]\s{0,8}[+,]\s{0,80}[\"'`]|\\\r?\n|\\n|\r?\n[ \t>]{0,8})"
    rb"[A-Za-z0-9+/]+)*={0,2}"
)
_ARRAY: Final = _compile(rb"\[\s{0,8}(" + _VALUE + rb"(?:\s{0,8},\s{0,8}" + _VALUE + rb"){15,})")
_HEX: Final = _compile(
    rb"(?:\\x[0-9A-Fa-f]{2}){16,}|(?:%[0-9A-Fa-f]{2}){16,}|(?:[0-9A-Fa-f]{2}){32,}"
)
_ANY: Final = Traces([one.pattern for one in (_URI, _BASE64, _ARRAY, _HEX)])
_MOST_RUNS: Final = 10_000  # each takes as long as half a kilobyte of plain text
_MOST_VALUES: Final = 4_000_000  # of one array
_NOT_HEX: Final = bytes(sorted(set(range(256)) - set(b"0123456789abcdefABCDEF")))
_JOINT: Final = re.compile(rb"[\"'`]\s{0,8}[+,]\s{0,80}[\"'`]|\\n")
_JOINTS: Final = (b'"', b"'", b"`", b"\\")  # one of them is in every joint
_NOTHING: Final = frozenset(("application/octet-stream", "text/plain"))


class Html:
    """See the module."""

    name = "HTML"

    def recognises(self, data: bytes) -> bool:
        data = _narrow(data)
        head = data[:_HEAD]
        if head.translate(None, _CONTROLS) != head:
            return False
        return bool(_ANY.seen(data))

    def members(self, data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
        data = _narrow(data)
        meter = Meter(budget, len(data))
        for uri in _URI.finditer(data):
            content = _of_uri(uri[1], uri[2], budget)
            if content:
                meter.member()
                yield Member("", content)
        for number, content in enumerate(_runs(data, meter)):
            budget.check_time()
            if number == _MOST_RUNS:
                raise LimitReached(f"more than {_MOST_RUNS} runs of encoded bytes in a text")
            if sniff(content) not in _NOTHING:
                meter.member()
                yield Member("", content)


def _narrow(data: bytes) -> bytes:
    """A text in UTF-16 in one byte a letter."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace").encode()
    return data


def _of_uri(parameters: bytes, body: bytes, budget: Budget) -> bytes:
    body = urllib.parse.unquote_to_bytes(body)
    if b";base64" in parameters.lower():
        return next(base64.readings(body, budget))[0]
    budget.take_bytes(len(body))
    return body


def _runs(data: bytes, meter: Meter) -> Iterator[bytes]:
    """Every long run of encoded bytes outside data: URIs, decoded."""
    for run in _BASE64.finditer(data):
        if data[run.start() - 1 : run.start()] != b",":
            yield next(base64.readings(_joined(run[0]), meter.budget))[0]
    for array in _ARRAY.finditer(data):
        yield _numbers(array[1], meter)
    for digits in _HEX.finditer(data):
        text = digits[0].translate(None, _NOT_HEX)
        meter.take(len(text) // 2)
        yield binascii.unhexlify(text[: len(text) // 2 * 2])


def _joined(run: bytes) -> bytes:
    """Without what stands between two pieces, which few runs are made of."""
    return _JOINT.sub(b"", run) if any(sign in run for sign in _JOINTS) else run


def _numbers(array: bytes, meter: Meter) -> bytes:
    """Bytes written as numbers, decimal or hexadecimal.  Raises LimitReached."""
    count = array.count(b",") + 1
    if count > _MOST_VALUES:
        raise LimitReached(f"array of more than {_MOST_VALUES} numbers")
    meter.take(count)
    try:
        return bytes(map(int, array.split(b",")))
    except ValueError:
        values = (value.strip() for value in array.split(b","))
        return bytes(int(value, 16 if value[:2] == b"0x" else 10) & 0xFF for value in values)
