"""What the query of a next hop's URL may say: ``smtp://HOST:PORT?tls=verify&auth=etc/relay``.

==================  =====================================================================
``tls=none``        in the clear
``tls=may``         TLS where it is offered, certificates unseen (RFC 7435); the default
``tls=encrypt``     TLS or nothing: mail waits where it cannot be had
``tls=verify``      the same, with a certificate for the host's name by a CA we trust
``name=HOST``       the name the certificate must be for, where that is not the URL's host
``ca=FILE``         the CAs to trust (PEM), in place of the system's
``auth=FILE``       user and password to log in with (RFC 4954): the first two lines of FILE
``clear=yes``       the password may also be said without TLS
``xforward=yes``    it is told who gave us each message (Postfix's XFORWARD)
==================  =====================================================================

``smtps://`` is TLS from the first byte (RFC 8314), ``encrypt`` unless it says ``verify``.
No I/O: the file is read by who calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, cast
from urllib.parse import parse_qsl

Tls = Literal["none", "may", "encrypt", "verify"]
TLS: Final = ("none", "may", "encrypt", "verify")


@dataclass(frozen=True, slots=True)
class Options:
    """How to speak to a next hop; ``ca`` is a path, "" for the system's."""

    tls: Tls = "may"
    implicit: bool = False  # TLS before the greeting
    name: str = ""  # that the certificate must be for; "": the host that was asked
    ca: str = ""
    auth: tuple[str, str] | None = field(default=None, repr=False)  # user, password
    clear: bool = False  # AUTH without TLS is allowed
    xforward: bool = False


def parse(
    query: str, secret: Callable[[str], tuple[str, str]], *, implicit: bool = False
) -> Options:
    """Options of a query; ``secret`` reads user and password from the file named.

    Raises ValueError with what is wrong and what is allowed, and what ``secret`` raises.
    """
    words: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True, strict_parsing=True):
        if key in words:
            raise ValueError(f"{key}= is said twice")
        words[key] = value
    tls = words.pop("tls", "encrypt" if implicit else "may")
    if tls not in TLS or (implicit and tls in ("none", "may")):
        allowed = ", ".join(TLS[2:] if implicit else TLS)
        raise ValueError(f"tls={tls}: allowed: {allowed}")
    clear, xforward = _yes(words, "clear"), _yes(words, "xforward")
    file = words.pop("auth", "")
    name, ca = words.pop("name", ""), words.pop("ca", "")
    if words:
        raise ValueError(f"{next(iter(words))}=: allowed: tls, name, ca, auth, clear, xforward")
    return Options(
        tls=cast(Tls, tls),
        implicit=implicit,
        name=name,
        ca=ca,
        auth=secret(file) if file else None,
        clear=clear,
        xforward=xforward,
    )


def _yes(words: dict[str, str], key: str) -> bool:
    value = words.pop(key, "no")
    if value not in ("yes", "no"):
        raise ValueError(f"{key}={value}: allowed: yes, no")
    return value == "yes"
