"""Whether a file is what its maker signed, by the setting ``signed_by`` of its source.

================  ==============================================================================
``minisign:KEY``  minisign's detached signature, both of the file and of its trusted comment
``gpg:KEYRING``   an OpenPGP signature, by gpgv(1) and that keyring alone
``nobody``        sha256sum(1)'s line: what was cut or garbled shows, what was forged does not
================  ==============================================================================

minisign's format is https://jedisct1.github.io/minisign/, "Signature format"; its Ed25519 is that
of the library cryptography, which has to be installed for it (``pip install 'spoolscan[signed]'``).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from spoolscan.errors import ConfigError, Corrupt, TemporaryFailure

SUFFIXES: Final = {"minisign": ".minisig", "gpg": ".sig", "nobody": ".sha256"}
LARGEST: Final = 65_536  # bytes of a signature
_PATIENCE: Final = 60.0  # seconds for gpgv
_VALID: Final = re.compile(rb"^\[GNUPG:\] VALIDSIG \S+ \S+ (\d{1,12}) ", re.MULTILINE)
_TIME: Final = re.compile(r"\btimestamp:(\d{1,12})\b")


def suffix(signed_by: str) -> str:
    """Of the signature's file, where nothing else is said."""
    return SUFFIXES[signed_by.partition(":")[0]]


def verify(data: bytes, signature: bytes, signed_by: str, root: Path) -> int | None:
    """When it was signed, in seconds since the epoch; None where the signature does not say.

    Raises Corrupt where it is not what was signed, ConfigError where that cannot be told here.
    """
    way, _, key = signed_by.partition(":")
    if way == "minisign":
        return _minisign(data, signature, key)
    if way == "gpg":
        return _gpg(data, signature, root / key)
    found = re.match(rb"\s*([0-9a-fA-F]{64})\b", signature)
    if found is None:
        raise Corrupt("its .sha256 does not begin with a SHA-256")
    if found[1].lower() != hashlib.sha256(data).hexdigest().encode("ascii"):
        raise Corrupt("its SHA-256 is another one: it was cut or changed on its way")
    return None


def _minisign(data: bytes, signature: bytes, key: str) -> int | None:
    try:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - need not be there
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
            Ed25519PublicKey,
        )
    except ImportError as error:
        raise ConfigError(f"minisign needs `pip install 'spoolscan[signed]'`: {error}") from error
    public = base64.b64decode(key)
    try:
        _, text, comment, seal = signature.decode("utf-8").splitlines()[:4]
        own, whole = base64.b64decode(text, validate=True), base64.b64decode(seal, validate=True)
    except (ValueError, binascii.Error) as error:
        raise Corrupt("its signature is not four lines of minisign's") from error
    if not comment.startswith("trusted comment: "):
        raise Corrupt("its signature has no trusted comment")
    way, number, signed = own[:2], own[2:10], own[10:]
    if number != public[2:10]:
        raise Corrupt("it is signed by another key than the one in signed_by")
    words = comment.removeprefix("trusted comment: ")
    hashed = hashlib.blake2b(data).digest() if way == b"ED" else data
    try:
        verifier = Ed25519PublicKey.from_public_bytes(public[10:])
        verifier.verify(signed, hashed)
        verifier.verify(whole, signed + words.encode("utf-8"))
    except InvalidSignature:
        raise Corrupt("its signature is wrong: it was cut, changed or forged") from None
    found = _TIME.search(words)
    return int(found[1]) if found else None


def _gpg(data: bytes, signature: bytes, keyring: Path) -> int:
    if not keyring.is_file():
        raise ConfigError(f"{keyring}: no such keyring; `gpg --export KEY >{keyring}` writes one")
    with tempfile.NamedTemporaryFile() as file:
        file.write(signature)
        file.flush()
        try:
            done = subprocess.run(
                ["gpgv", "--status-fd", "1", "--keyring", str(keyring), file.name, "-"],  # noqa: S607 - wherever it is
                input=data, capture_output=True, timeout=_PATIENCE, check=False,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise ConfigError("gpg: needs the program gpgv; install it") from error
        except (OSError, subprocess.SubprocessError) as error:
            raise TemporaryFailure(f"gpgv: {error}") from error
    found = _VALID.search(done.stdout)
    if done.returncode != 0 or found is None:
        raise Corrupt("its signature is wrong: it was cut, changed, forged, or by another key")
    return int(found[1])
