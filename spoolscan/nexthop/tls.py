"""TLS to a next hop: what a certificate must be, by its options.

====================  ==========================================================================
``may``, ``encrypt``  any certificate will do: it keeps out who only listens (RFC 7435)
``verify``            a chain to a CA of the system, or of the file given in place of these, and
                      a name that is the host's (RFC 6125)
====================  ==========================================================================

TLS 1.2 and later.  Fails with ConfigError where the file cannot be used.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from spoolscan.errors import ConfigError
from spoolscan.nexthop.options import Options


@dataclass(frozen=True, slots=True)
class Tls:
    """What a handshake needs; ``name`` is asked for (SNI), and that of the certificate."""

    context: ssl.SSLContext
    name: str
    implicit: bool  # before the greeting


def prepare(options: Options, host: str) -> Tls | None:
    """None where there is to be no TLS; ``host`` is "" for a unix socket.  Raises ConfigError."""
    if options.tls == "none" and not options.implicit:
        return None
    name = options.name or host
    if options.tls == "verify" and not name:
        raise ConfigError("tls=verify needs the name of a host, or name=HOST beside it")
    try:
        made = ssl.create_default_context(cafile=options.ca or None)
    except OSError as error:  # an SSLError is one
        raise ConfigError(
            f"ca={options.ca}: {error.strerror or error}; allowed: a file of certificates in PEM"
        ) from error
    if options.tls != "verify":
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return Tls(made, name, options.implicit)


def reason(error: OSError) -> str:
    """Why a connection or a handshake failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    return error.strerror or str(error)
