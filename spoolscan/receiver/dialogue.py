"""AUTH PLAIN and AUTH LOGIN (RFC 4954, RFC 4616): challenges, and what the answers to them say.

Knows no password and compares none.  Raises BadAnswer, whose text quotes nothing from the peer.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from spoolscan.receiver.events import Login

_CHALLENGES: Final = {
    "PLAIN": ("",),
    "LOGIN": ("VXNlcm5hbWU6", "UGFzc3dvcmQ6"),  # "Username:", "Password:", as every client expects
}
MECHANISMS: Final = tuple(_CHALLENGES)
_LONGEST: Final = 255  # bytes of a name or a password


class BadAnswer(ValueError):
    """It is not base64, or not what the mechanism asks for."""


class Dialogue:
    """One AUTH command.  ``mechanism`` is one of `MECHANISMS`."""

    def __init__(self, mechanism: str) -> None:
        self._mechanism = mechanism
        self._answers: list[bytes] = []

    @property
    def challenge(self) -> str:
        """What is to be said behind 334 next, in base64."""
        return _CHALLENGES[self._mechanism][len(self._answers)]

    def answer(self, text: str) -> Login | None:
        """Take an answer in base64; the whole, or None where more is to be asked."""
        try:
            self._answers.append(base64.b64decode(text.encode("ascii"), validate=True))
        except (UnicodeEncodeError, binascii.Error) as error:
            raise BadAnswer("answer is not base64") from error
        if len(self._answers) < len(_CHALLENGES[self._mechanism]):
            return None
        return _login(*self._answers) if len(self._answers) > 1 else _plain(self._answers[0])


def _plain(answer: bytes) -> Login:
    identity, *rest = answer.split(b"\0")
    if len(rest) != 2 or identity not in (b"", rest[0]):
        raise BadAnswer("answer is not of the form that PLAIN has")
    return _login(*rest)


def _login(user: bytes, password: bytes) -> Login:
    try:
        login = Login(user.decode("utf-8"), password.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BadAnswer("answer is not UTF-8") from error
    if max(len(user), len(password)) > _LONGEST or not user or not login.user.isprintable():
        raise BadAnswer("name or password is not one that anybody can have")
    return login
