"""Encrypted PDF files: the standard security handler (ISO 32000-2, 7.6.4), all its revisions.

Most are encrypted without a password to open them, so that programs forbid printing: these anybody
can read.  Others are tried with the message's passwords.  AES is by the package ``cryptography``
where it is installed; where it is not, what is encrypted with it stays closed.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from spoolscan.scanner.passwords import Key
from spoolscan.scanner.unpack.meter import Meter

_PAD: Final = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")
_ROUNDS: Final = 64
_EVERYBODY: Final = Key("", "everybody")


@dataclass(frozen=True, slots=True)
class Lock:
    """What opens a file: the key to it, and how its streams and strings are encrypted."""

    key: bytes
    streams: str
    strings: str
    by: Key

    @property
    def had_password(self) -> bool:
        return self.by.word != ""

    def stream(self, data: bytes, number: int, generation: int) -> bytes:
        return self._decrypted(data, self.streams, number, generation)

    def value(self, value: Any, number: int, generation: int) -> Any:
        """A value with its strings decrypted; as deep as `pdfobjects` reads them."""
        if isinstance(value, bytes):
            return self._decrypted(value, self.strings, number, generation)
        if isinstance(value, list):
            return [self.value(item, number, generation) for item in value]
        if isinstance(value, dict):
            return {key: self.value(item, number, generation) for key, item in value.items()}
        return value

    def _decrypted(self, data: bytes, how: str, number: int, generation: int) -> bytes:
        if how == "None":
            return data
        if how == "AESV3":
            return _unpadded(_aes(self.key, data[:16], data[16:]))
        salted = number.to_bytes(5, "little")[:3] + generation.to_bytes(4, "little")[:2]
        salted += b"sAlT" if how == "AESV2" else b""
        key = _md5(self.key + salted)
        key = key[: min(len(self.key) + 5, 16)]
        return _rc4(key, data) if how == "V2" else _unpadded(_aes(key, data[:16], data[16:]))


def lock(about: Any, identity: bytes, meter: Meter) -> Lock | None:
    """The lock of a file whose Encrypt dict is ``about``; None where nothing here opens it.

    ``identity`` is the first string of the trailer's ID.  Raises LimitReached.
    """
    if not isinstance(about, dict) or about.get("Filter") != "Standard":
        return None
    version, revision = about.get("V", 0), about.get("R", 0)
    methods = ("V2", "V2") if version in {1, 2} else _methods(about, version)
    if methods is None or not _is_whole(about):
        return None
    if "AES" in "".join(methods) and not _has_aes():
        return None
    find = _new_key if revision >= 5 else _old_key
    for key in chain((_EVERYBODY,), meter.budget.keys.tries()):
        meter.budget.check_time()
        found = find(about, identity, key.word)
        if found is not None:
            if key.word:
                meter.budget.keys.opened(key)
            return Lock(found, *methods, key)
    return None


def _is_whole(about: dict[str, Any]) -> bool:
    """Whether all that a key is made of is there, and of its kind."""
    new = about.get("V") == 5
    words = all(isinstance(about.get(name), bytes) for name in ("O", "U"))
    numbers = all(isinstance(about.get(name), int) for name in ("R", *(() if new else ("P",))))
    return words and numbers and (not new or isinstance(about.get("UE"), bytes))


def _methods(about: dict[str, Any], version: Any) -> tuple[str, str] | None:
    """Of streams and of strings, by the crypt filters of versions 4 and 5 (7.6.6)."""
    filters = about.get("CF")
    found: list[str] = []
    for name in ("StmF", "StrF"):
        chosen = about.get(name, "Identity")
        settings = filters.get(chosen) if isinstance(filters, dict) else None
        how = settings.get("CFM", "None") if isinstance(settings, dict) else "None"
        found.append("None" if chosen == "Identity" else str(how))
    known = version in {4, 5} and set(found) <= {"None", "V2", "AESV2", "AESV3"}
    return (found[0], found[1]) if known else None


def _old_key(about: dict[str, Any], identity: bytes, word: str) -> bytes | None:
    """Algorithms 2 and 6: to revision 4."""
    revision, length = about["R"], about.get("Length", 40)
    size = length // 8 if isinstance(length, int) and 40 <= length <= 128 else 5
    size = 5 if revision == 2 else 16 if about.get("V") == 4 else size
    made = (word.encode("latin-1", "replace") + _PAD)[:32] + about["O"][:32]
    made += (about["P"] & 0xFFFFFFFF).to_bytes(4, "little") + identity
    if revision >= 4 and about.get("EncryptMetadata") is False:
        made += b"\xff\xff\xff\xff"
    key = _md5(made)
    if revision == 2:
        return key[:size] if _rc4(key[:size], _PAD) == about["U"][:32] else None
    for _ in range(50):
        key = _md5(key[:size])
    key = key[:size]
    check = _rc4(key, _md5(_PAD + identity))
    for turn in range(1, 20):
        check = _rc4(bytes(byte ^ turn for byte in key), check)
    return key if check == about["U"][:16] else None


def _new_key(about: dict[str, Any], identity: bytes, word: str) -> bytes | None:  # noqa: ARG001  # as its twin
    """Algorithms 2.A and 2.B: revisions 5 and 6."""
    secret, user = word.encode()[:127], about["U"]
    make = _hardened if about["R"] >= 6 else _sha256
    if make(secret, user[32:40]) != user[:32]:
        return None
    return _aes(make(secret, user[40:48]), bytes(16), about["UE"][:32])


def _hardened(secret: bytes, salt: bytes) -> bytes:
    """Algorithm 2.B, for the user's password."""
    key = _sha256(secret, salt)
    turn, last = 0, 0
    while turn < _ROUNDS or last > turn - 32:
        mixed = _aes(key[:16], key[16:32], (secret + key) * 64, encrypt=True)
        kind = (hashlib.sha256, hashlib.sha384, hashlib.sha512)[sum(mixed[:16]) % 3]
        key, last = kind(mixed).digest(), mixed[-1]
        turn += 1
    return key[:32]


def _sha256(secret: bytes, salt: bytes) -> bytes:
    return hashlib.sha256(secret + salt).digest()


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _rc4(key: bytes, data: bytes) -> bytes:
    state = list(range(256))
    other = 0
    for place in range(256):
        other = (other + state[place] + key[place % len(key)]) & 0xFF
        state[place], state[other] = state[other], state[place]
    out = bytearray(data)
    place = other = 0
    for at, byte in enumerate(data):
        place = (place + 1) & 0xFF
        one = state[place]
        other = (other + one) & 0xFF
        two = state[other]
        state[place], state[other] = two, one
        out[at] = byte ^ state[(one + two) & 0xFF]
    return bytes(out)


def _has_aes() -> bool:
    return importlib.util.find_spec("cryptography") is not None


def _aes(key: bytes, start: bytes, data: bytes, *, encrypt: bool = False) -> bytes:
    """AES in cipher block chaining; b"" for what is none.  Only where `_has_aes`."""
    from cryptography.hazmat.primitives.ciphers import (  # noqa: PLC0415  # optional
        Cipher,
        algorithms,
        modes,
    )

    if len(start) < 16 or len(key) not in {16, 24, 32}:
        return b""
    cipher = Cipher(algorithms.AES(key), modes.CBC(start))
    worker = cipher.encryptor() if encrypt else cipher.decryptor()
    return worker.update(data[: len(data) // 16 * 16])


def _unpadded(data: bytes) -> bytes:
    return data[: -data[-1]] if data and 1 <= data[-1] <= 16 else data
