"""etc/routes: which next hops take the mail of which addresses.

One line each: addresses, then the next hops in the order in which they are asked (the second where
the first is down), separated by blanks or commas; ``balance`` at its end asks them in turns::

    bob@example.com      maildir:/home/bob/Maildir
    example.com          smtp://192.0.2.10:25, smtp://192.0.2.11:25
    .example.com         smtp://a.example.net smtp://b.example.net balance
    list-*@example.org   pipe:/usr/local/bin/lists {recipient}
    *                    mx:

**The first line that fits decides**, so special ones stand above general ones.  A domain fits its
own addresses, ``.domain`` those of its subdomains, and what has ``*`` or ``?`` in it is a pattern
(any characters; any one): of the whole address where it has an ``@``, else of the domain.  Case
means nothing.  A ``pipe:`` goes on to the end of its line.  ``#`` begins a comment.

No I/O here.  A file with a mistake in it is refused as a whole, each mistake with its line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from typing import Final

from spoolscan.domain import a_labels
from spoolscan.errors import ConfigError

BALANCE: Final = "balance"
_ADDRESSES: Final = re.compile(r"[^\s@]+@[^\s@]+|[^\s@]+")
_PIPE: Final = re.compile(r"(?:^|[\s,])(pipe:.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Line:
    """``number`` in the file, 0 for the setting ``next_hop``; ``urls`` as they were written."""

    number: int
    addresses: str
    urls: tuple[str, ...]
    balance: bool = False

    def __str__(self) -> str:
        return " ".join((*self.urls, BALANCE) if self.balance else self.urls)


def domain_of(address: str) -> str:
    """In lower case and A-labels, without a trailing dot; "" where there is none."""
    return canonical(address.rpartition("@")[2]) if "@" in address else ""


def _local_of(address: str) -> str:
    """In lower case and unquoted: ``"bob"@example.com`` is Bob, and goes where he does."""
    local = address.rpartition("@")[0].lower()
    if len(local) > 1 and local[0] == local[-1] == '"':
        return re.sub(r"\\(.)", r"\1", local[1:-1])
    return local


@lru_cache(maxsize=1024)
def canonical(domain: str) -> str:
    """The one spelling domains are compared in.  What is no domain name stays as it is."""
    domain = domain.lower().rstrip(".")
    try:
        return a_labels(domain)
    except UnicodeError:
        return domain


class Table:
    """The lines of a file, and a last one for what none of them fits."""

    def __init__(self, lines: Sequence[Line], next_hop: str) -> None:
        self.lines = (*lines, Line(0, "*", (next_hop,)))
        self._exact: dict[str, int] = {}  # places in `lines`
        self._below: dict[str, int] = {}
        self._patterns: list[tuple[re.Pattern[str], bool, int]] = []
        for place, line in enumerate(self.lines):
            self._enter(line.addresses, place)

    @classmethod
    def parse(
        cls, text: str, name: str, next_hop: str, check: Callable[[str], object] = lambda _: None
    ) -> Table:
        """Read a file's text; ``name`` is the file's, ``check`` raises ConfigError for a bad URL.

        Raises ConfigError with all that is wrong, a line each.
        """
        lines: list[Line] = []
        mistakes: list[str] = []
        seen: dict[str, int] = {}
        for number, written in enumerate(text.splitlines(), 1):
            words = _without_comment(written)
            if not words:
                continue
            try:
                line = _line(number, words)
                for url in line.urls:
                    check(url)
            except (ValueError, ConfigError) as error:
                mistakes.append(f"{name}:{number}: {error}")
                continue
            above = seen.get("*") or seen.setdefault(line.addresses, number)
            if above != number:
                mistakes.append(f"{name}:{number}: never reached; line {above} decides before it")
            lines.append(line)
        if mistakes:
            raise ConfigError("\n".join(mistakes))
        return cls(lines, next_hop)

    def find(self, address: str) -> Line:
        """The line that decides about an address (a forward-path without its brackets)."""
        domain = domain_of(address)
        whole = f"{_local_of(address)}@{domain}"
        places = [self._exact.get(whole), self._exact.get(domain)]
        rest = domain
        while "." in rest:
            rest = rest.partition(".")[2]
            places.append(self._below.get(rest))
        best = min((place for place in places if place is not None), default=len(self.lines) - 1)
        for pattern, of_address, place in self._patterns:
            if place < best and pattern.fullmatch(whole if of_address else domain):
                return self.lines[place]
        return self.lines[best]

    def _enter(self, addresses: str, place: int) -> None:
        if "*" in addresses or "?" in addresses:
            pattern = re.compile(translate(addresses.replace("[", "[[]")))
            self._patterns.append((pattern, "@" in addresses, place))
        elif addresses.startswith("."):
            self._below.setdefault(addresses[1:], place)
        else:
            self._exact.setdefault(addresses, place)


def _without_comment(written: str) -> str:
    """A ``#`` inside a word is one of its characters."""
    return re.sub(r"(?:^|(?<=\s))#.*", "", written).strip()


def _line(number: int, words: str) -> Line:
    """Raises ValueError."""
    addresses, *rest = words.split(None, 1)
    if not _ADDRESSES.fullmatch(addresses) or not addresses.isprintable():
        raise ValueError(
            f"{addresses!r}: allowed: DOMAIN, .DOMAIN, USER@DOMAIN, a pattern with *, or *"
        )
    local, at, domain = addresses.rpartition("@")
    dot = "." if domain.startswith(".") else ""
    addresses = f"{local.lower()}{at}{dot}{canonical(domain.removeprefix('.'))}"
    text = rest[0] if rest else ""
    piped = _PIPE.search(text)
    urls = (text[: piped.start()] if piped else text).replace(",", " ").split()
    balance = not piped and urls[-1:] == [BALANCE]
    if balance:
        urls.pop()
    if piped:
        urls.append(piped[1].strip())
    if not urls:
        raise ValueError(f"{addresses}: no next hop")
    return Line(number, addresses, tuple(urls), balance)
