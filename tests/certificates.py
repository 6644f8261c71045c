"""Certificates for tests, of a CA that exists as long as they run."""

from __future__ import annotations

import ssl
from functools import cache
from pathlib import Path

import trustme


@cache
def authority() -> trustme.CA:
    return trustme.CA()


def server(*names: str) -> ssl.SSLContext:
    """What a server of these names shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(*names).configure_cert(context)
    return context


def trusted(folder: Path) -> str:
    """A file to trust that CA by."""
    path = folder / "ca.pem"
    authority().cert_pem.write_to_path(path)
    return str(path)
