"""The people who may send through us from outside, and their passwords: one line each of a file.

::

    alice:scrypt:16384:8:1:SALT:HASH          (salt and hash in base64)

No password is ever stored, logged or compared in the clear; who asks for a user that is not there
waits as long as for one who is.  The file is read at each question, so an edit counts at once.
Fails with ConfigError where it cannot be read, or a line is none of these.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from spoolscan.errors import ConfigError
from spoolscan.spool import Spool

NAME: Final = re.compile(r"[^\s:#][^\s:]{0,254}")
_LINE: Final = re.compile(
    r"([^\s:#][^\s:]{0,254}):scrypt:(\d{1,8}):(\d{1,3}):(\d{1,3}):([\w+/=]+):([\w+/=]+)"
)
_COST: Final = (16_384, 8, 1)  # n, r, p: 16 MB and some 50 ms
_MEMORY: Final = 128 * 1024 * 1024  # bytes that a line of the file may ask for
_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Hashed:
    """A password as the file has it."""

    cost: tuple[int, int, int]
    salt: bytes
    digest: bytes

    @classmethod
    def of(cls, password: str) -> Self:
        """With a salt of its own."""
        salt = secrets.token_bytes(16)
        return cls(_COST, salt, _digest(password, _COST, salt))

    def fits(self, password: str) -> bool:
        """Takes the time and the memory that it costs.  Raises ValueError: such a cost is none."""
        return hmac.compare_digest(_digest(password, self.cost, self.salt), self.digest)

    def line(self, user: str) -> str:
        cost = ":".join(map(str, self.cost))
        salt, digest = (base64.b64encode(it).decode("ascii") for it in (self.salt, self.digest))
        return f"{user}:scrypt:{cost}:{salt}:{digest}\n"


_NOBODY: Final = Hashed(_COST, b"\0" * 16, b"\0" * _BYTES)


class Users:
    """A file of them; one that is not there is empty."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def verify(self, user: str, password: str) -> bool:
        """Whether that is the user's password.  Takes some 50 ms; raises ConfigError."""
        found = self.read().get(user)
        try:
            right = (found or _NOBODY).fits(password)
        except ValueError as error:
            raise ConfigError(f"{self.path}: {user}: no such cost of scrypt") from error
        return right and found is not None

    def read(self) -> dict[str, Hashed]:
        """All of them.  Raises ConfigError."""
        users: dict[str, Hashed] = {}
        for number, line in enumerate(self._text().split("\n"), 1):
            if line.strip() and not line.startswith("#"):
                name, hashed = self._parsed(number, line)
                users[name] = hashed
        return users

    def change(self, user: str, hashed: Hashed | None) -> bool:
        """Set a user's password, or None to delete; whether there was such a user.

        The other lines stay as they are.  Raises ConfigError, TemporaryFailure.
        """
        known = user in self.read()
        old = self._text()
        lines = [line for line in old.splitlines(True) if line.partition(":")[0] != user]
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += "\n"
        if hashed is not None:
            lines.append(hashed.line(user))
        Spool.install(str(self.path), "".join(lines).encode())
        return known

    def _text(self) -> str:
        try:
            return self.path.read_text("utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self.path}: cannot be read: {error}") from error

    def _parsed(self, number: int, line: str) -> tuple[str, Hashed]:
        found = _LINE.fullmatch(line)
        try:
            if found is None:
                raise ValueError
            salt, digest = (base64.b64decode(found[it], validate=True) for it in (5, 6))
        except (ValueError, binascii.Error) as error:
            what = "not a line that `spoolscan passwd` writes; set that user's password again"
            raise ConfigError(f"{self.path}: line {number}: {what}") from error
        return found[1], Hashed((int(found[2]), int(found[3]), int(found[4])), salt, digest)


def _digest(password: str, cost: tuple[int, int, int], salt: bytes) -> bytes:
    n, r, p = cost
    raw = password.encode("utf-8")
    return hashlib.scrypt(raw, salt=salt, n=n, r=r, p=p, maxmem=_MEMORY, dklen=_BYTES)
