"""Bytes from a URL: https: with the certificate checked, or file:; never more than was asked for.

A redirection may lead to another https: address only.  What ends before its Content-Length is
a failure, and so is what takes longer than ``timeout`` in all.
"""

from __future__ import annotations

import http.client
import time
from typing import IO, Final
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from spoolscan.errors import Corrupt, TemporaryFailure

_PIECE: Final = 65_536
_SILENCE: Final = 30.0  # seconds without a byte


class _ToHttps(HTTPRedirectHandler):
    def redirect_request(  # noqa: PLR0917 - as urllib calls it
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> Request | None:
        if not newurl.startswith("https://"):
            raise OSError(f"it leads to {newurl}, which is not https:")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(url: str, limit: int, timeout: float) -> bytes:
    """What lies there.  Raises TemporaryFailure, and Corrupt for more than ``limit`` bytes."""
    deadline = time.monotonic() + timeout
    try:
        if url.startswith("file:"):
            with open(unquote(urlsplit(url).path), "rb") as file:
                return _read(file, url, limit, deadline)
        opener = build_opener(_ToHttps)
        opener.addheaders = [("User-Agent", "spoolscan")]
        with opener.open(url, timeout=min(_SILENCE, timeout)) as answer:
            data = _read(answer, url, limit, deadline)
            length = answer.headers.get("Content-Length", "")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise TemporaryFailure(f"{url}: {error}") from error
    if length.isdecimal() and len(data) < int(length):
        raise TemporaryFailure(f"{url}: it broke off after {len(data)} of {length} bytes")
    return data


def _read(file: IO[bytes], url: str, limit: int, deadline: float) -> bytes:
    pieces, size = [], 0
    while piece := file.read(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise Corrupt(f"{url}: more than {limit} bytes, which [signatures] max_size allows")
        if time.monotonic() > deadline:
            raise TemporaryFailure(f"{url}: not all of it came in time")
    return b"".join(pieces)
