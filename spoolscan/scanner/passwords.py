"""The words that may open what is encrypted: the site's list, and what the message itself says.

A sender who encrypts tells the password in the same mail, for the reader must have it.  So every
word of its subject and texts is a candidate, those behind "password" and in quotes first.  How many
are tried, and for how long, is bounded for the whole message; what opened one member is tried first
on the next.  Words are nobody's to see: they are in no report and in no log.
"""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_OPEN: Final = (
    r"\"'`<>\[\]()\u00ab\u00bb\u2018-\u201f"  # and close: nobody agrees on which is which
)
_SAID: Final = re.compile(
    r"(?i)(?:pass[ -]?(?:word|wort|phrase|code|w)?|mot de passe|mdp|kenn?wort|contrase[nñ]a|clave"
    r"|senha|wachtwoord|has[lł]o|parola?|пароль|密码|密碼|パスワード|비밀번호|\bpwd?|\bpin|\bcode|\bkey)"
    r"\b[^\S\n]{0,8}(?:(?:\w{1,12}[^\S\n]{1,4})?(?:is|ist|est|es|lautet)\b)?"
    r"[\s:=" + _OPEN + r"-]{0,16}(\S{1,64})"
)
_QUOTED: Final = re.compile(rf"[{_OPEN}]([^{_OPEN}\s][^{_OPEN}\n]{{0,63}})[{_OPEN}]")
_WORD: Final = re.compile(r"\S{1,64}")
_TAG: Final = re.compile(r"<[^<>]{0,2000}>")
_TRIMMED: Final = ".,;:!?\"'`()[]{}<>\u00ab\u00bb\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f"
_HEARD: Final = 65_536  # characters of one text
_TEXTS: Final = 16
_LONGEST: Final = 64  # characters of a word
OFFICE: Final = "every Office program"
SITE: Final = "the site's list"
MESSAGE: Final = "the message itself"
# What Excel and PowerPoint encrypt with where nobody gave a password; they open it without asking.
DEFAULTS: Final = ("VelvetSweatshop", "/01Hannes Ruescher/01")


@dataclass(frozen=True, slots=True)
class Key:
    """A word to be tried, and where it comes from."""

    word: str
    source: str


class Keys:
    """What one message's encrypted members are tried with; ``most`` times in all."""

    def __init__(self, site: Sequence[str] = (), most: int = 0, seconds: float = 0.0) -> None:
        self._site = [word for word in site if _is_usable(word)]
        self._heard: list[str] = []
        self._opened: dict[Key, None] = {}
        self._left = most
        self._seconds = seconds

    def hear(self, text: str) -> None:
        """Take in a text of the message: its subject, or a part in plain text or HTML.

        It is read when something is encrypted.
        """
        if len(self._heard) < _TEXTS:
            self._heard.append(text[:_HEARD])

    def opened(self, key: Key) -> None:
        """This one was right: it is tried first from now on."""
        self._opened[key] = None

    def tries(self) -> Iterator[Key]:
        """Each word once, likeliest first, until the message's count or time is used up.

        The time is what the caller takes between one word and the next.
        """
        given: set[str] = set()
        for key in (*self._opened, *self._all()):
            if key.word in given:
                continue
            if self._left <= 0 or self._seconds <= 0:
                return
            given.add(key.word)
            self._left -= 1
            began = time.monotonic()
            yield key
            self._seconds -= time.monotonic() - began

    def _all(self) -> Iterator[Key]:
        texts = [_readable(text) for text in self._heard]
        yield from (Key(word, MESSAGE) for text in texts for word in _found(_SAID, text))
        yield from (Key(word, SITE) for word in self._site)
        for pattern in (_QUOTED, _WORD):
            yield from (Key(word, MESSAGE) for text in texts for word in _found(pattern, text))


def _readable(text: str) -> str:
    return html.unescape(_TAG.sub(" ", text)) if "<" in text else text


def _found(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    """Each word as it stands and without the marks around it."""
    for word in pattern.findall(text):
        for spelling in (word.strip(_TRIMMED), word):
            if _is_usable(spelling):
                yield spelling


def _is_usable(word: str) -> bool:
    return 0 < len(word) <= _LONGEST and word.isprintable()
