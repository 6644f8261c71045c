"""The certificate that we show, and how TLS is spoken with it.

The files are looked at before each handshake: a certificate that was renewed is used from then on,
without a word to us.  Files that cannot be used leave the old certificate in place, and are logged.
"""

from __future__ import annotations

import logging
import os
import ssl
from pathlib import Path
from typing import Final

from spoolscan import config, log
from spoolscan.errors import ConfigError

_VERSIONS: Final = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
_Stamp = tuple[tuple[int, int, int], ...]


class Certificate:
    """``key`` may be the same file.  Raises ConfigError: they cannot be used."""

    def __init__(self, certificate: Path, key: Path, minimum_version: str, ciphers: str) -> None:
        self._certificate = certificate
        self._key = key
        self._minimum_version = _VERSIONS[minimum_version]
        self._ciphers = ciphers
        self._stamp = self._look()
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        """For the next handshake.  Never raises."""
        try:
            stamp = self._look()
            if stamp != self._stamp:
                self._stamp = stamp  # what is wrong is logged once
                self._context = self._load()
                log.event("receiver", event="certificate", file=self._certificate)
        except ConfigError as error:
            log.event("receiver", "-", logging.ERROR, event="certificate", reason=error)
        return self._context

    def _look(self) -> _Stamp:
        """What changes when a file does."""
        return tuple(_stamp(path) for path in (self._certificate, self._key))

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = self._minimum_version
        context.options |= ssl.OP_NO_RENEGOTIATION
        files = f"{self._certificate}, {self._key}"
        try:
            # Without the function we would be asked for its passphrase on a terminal.
            context.load_cert_chain(self._certificate, self._key, password=lambda: "")
        except ssl.SSLError as error:
            what = "not a certificate and its key, or they do not match"
            raise ConfigError(f"[receiver.tls] {files}: {what} ({error.reason})") from error
        except OSError as error:
            raise ConfigError(f"[receiver.tls] {files}: {error.strerror}") from error
        try:
            if self._ciphers:
                context.set_ciphers(self._ciphers)
        except ssl.SSLError as error:
            what = "allowed: names as `openssl ciphers` prints them"
            raise ConfigError(f"[receiver.tls] ciphers: {what}; found {self._ciphers}") from error
        return context


def load_certificate(root: Path, settings: config.TLS) -> Certificate | None:
    """As the settings say, in the spool ``root``; None where there is none.  Raises ConfigError."""
    if not settings.certificate:
        return None
    file = root / settings.certificate
    key = root / settings.key if settings.key else file
    return Certificate(file, key, settings.minimum_version, settings.ciphers)


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except OSError:  # reading it will say more
        return 0, 0, 0
    return found.st_ino, found.st_mtime_ns, found.st_size
