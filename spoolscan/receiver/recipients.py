"""The list of those who exist here: etc/recipients, one a line.

===========================  =========================================================
``bob@example.com``          this address
``@example.org``             every address of that domain
``sales-*@example.com``      ``*`` is any characters, ``?`` is one; also in a domain
``# ...``                    a remark, at the start of a line or behind a space
===========================  =========================================================

Case means nothing, in a local part either: no site tells Bob from bob.  Where a delimiter is set,
``bob+anything@`` is there where ``bob@`` is (RFC 5233).  Postmaster is always there (RFC 5321
4.5.1).  An address takes one look into a set, however long the list; all globs are one search in
linear time.

Raises ConfigError with every line that is wrong, and where there is none at all: a list that was
emptied by accident must not refuse everybody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Self

import re2

from spoolscan.domain import a_labels
from spoolscan.errors import ConfigError
from spoolscan.receiver.address import BadPath, is_domain, parse_path

ALLOWED: Final = "an address, @DOMAIN, or an address with * and ?"
_WORST: Final = 10  # mistakes that are told
_GLOB: Final = re.compile(r"[*?]")
_REMARK: Final = re.compile(r"(?:^|\s)#.*")


class RecipientList:
    """What one reading of the file says."""

    def __init__(
        self, addresses: frozenset[str], domains: frozenset[str], globs: tuple[str, ...]
    ) -> None:
        self.addresses = addresses
        self.domains = domains
        self.globs = globs
        self._matcher = re2.compile("|".join(map(_expression, globs))) if globs else None

    def __len__(self) -> int:
        return len(self.addresses) + len(self.domains) + len(self.globs)

    @classmethod
    def parse(cls, content: bytes, place: str) -> Self:
        """``place`` is what to call it.  Raises ConfigError."""
        found: dict[str, set[str]] = {"": set(), "@": set(), "*": set()}
        mistakes: list[str] = []
        for number, word in _lines(content, place):
            try:
                kind, value = _read(word)
            except ValueError as error:
                shown = word.encode("unicode_escape").decode("ascii")[:80]
                mistakes.append(f"{place}:{number}: {error}: {shown}; allowed: {ALLOWED}")
                continue
            found[kind].add(value)
        if mistakes:
            more = len(mistakes) - _WORST
            tail = [f"{place}: and {more} lines more"] if more > 0 else []
            raise ConfigError("\n".join([*mistakes[:_WORST], *tail]))
        if not any(found.values()):
            raise ConfigError(f"{place}: names nobody; put those in who exist, one a line")
        try:
            return cls(frozenset(found[""]), frozenset(found["@"]), tuple(sorted(found["*"])))
        except re2.error as error:
            raise ConfigError(f"{place}: too many lines with * and ?; use @DOMAIN") from error

    def why(self, local: str, domain: str, delimiters: str = "") -> str:
        """The line by which the address is there, in lower case; "" where it is not.

        ``local`` is unquoted; ``delimiters`` are characters, each of which begins a subaddress.
        """
        if local.casefold() == "postmaster":
            return "postmaster"
        for form in _forms(local.casefold(), delimiters):
            address = f"{form}@{domain}"
            if address in self.addresses:
                return address
            if self._matcher is not None and self._matcher.fullmatch(address):
                return next(one for one in self.globs if re2.fullmatch(_expression(one), address))
        return f"@{domain}" if domain in self.domains else ""


def _forms(local: str, delimiters: str) -> Iterator[str]:
    """The local part as it is, and without its subaddress."""
    yield local
    found = [place for char in delimiters if (place := local.find(char)) > 0]
    if found:
        yield local[: min(found)]


def _lines(content: bytes, place: str) -> Iterator[tuple[int, str]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{place}:{number}: not UTF-8; save it as such") from error
    for number, line in enumerate(text.split("\n"), 1):
        if word := _REMARK.sub("", line).strip():
            yield number, word


def _read(word: str) -> tuple[str, str]:
    """("@", domain), ("*", glob) or ("", address), each as it is compared.  Raises ValueError."""
    local, at, domain = word.rpartition("@")
    if not at:
        raise ValueError("not an address")
    if _GLOB.search(word):
        if not local or not domain or not word.isprintable() or " " in word:
            raise ValueError("not an address")
        return "*", word.casefold()
    name = canonical(domain)
    if not local:
        return "@", name
    try:
        path = parse_path(f"{local}@{name}")
    except BadPath as error:
        raise ValueError(str(error)) from error
    return "", f"{path.local.casefold()}@{name}"


def canonical(domain: str) -> str:
    """A domain as a `Path` has it: A-labels in lower case.  Raises ValueError."""
    try:
        name = a_labels(domain)
    except UnicodeError as error:
        raise ValueError("not a domain") from error
    if not is_domain(name):
        raise ValueError("not a domain")
    return name.lower()


def _expression(glob: str) -> str:
    """A regular expression for all of an address; ``*`` and ``?`` stay on their side of the @."""
    wild = {"*": "[^@]*", "?": "[^@]"}
    return "(?:" + "".join(wild.get(char) or re2.escape(char) for char in glob) + ")"
