"""Paths and parameters of MAIL and RCPT, strictly (RFC 5321 4.1.2).

What is parsed has one reading: a local part, one domain, and a route where there was one.  Whatever
reads two ways (two unquoted ``@``, a stray quote, a control character, 8-bit bytes) is refused.

Under SMTPUTF8 (RFC 6531) a path may hold letters of any script, but nothing that cannot be seen,
and nothing that becomes ASCII when a mail server normalises it (RFC 5198: a fullwidth ``@``).

Real senders are sloppy in four ways that change no meaning, and these are let by: a space after
``FROM:`` or ``TO:``, an address without its angle brackets, dots in odd places of a local part
(``a..b@``), and an underscore in a domain.  A local part longer than RFC 5321's 64 octets too:
senders who code the recipient into the reverse-path need it.

Every function is linear in its argument, which a command line bounds.  Raises BadPath or
BadParameter, whose text is ours and quotes nothing from the peer.
"""

from __future__ import annotations

import ipaddress
import string
import unicodedata
from dataclasses import dataclass
from typing import Final

from spoolscan.domain import a_labels

PATH_CHARACTERS: Final = 512  # RFC 5321 4.5.3.1.3 asks for 256
_DOMAIN_CHARACTERS: Final = 255
_LABEL_CHARACTERS: Final = 63
_DOT_STRING: Final = frozenset(string.ascii_letters + string.digits + "!#$%&'*+-/=?^_`{|}~.")
_LABEL: Final = frozenset(string.ascii_letters + string.digits + "-_")
_KEYWORD: Final = frozenset(string.ascii_letters + string.digits + "-")
_VALUE: Final = frozenset(map(chr, range(33, 127))) - {"="}


class BadPath(ValueError):
    """The address cannot be read, or could be read as two."""


class BadParameter(ValueError):
    """What follows the address is not a list of parameters."""


@dataclass(frozen=True, slots=True)
class Path:
    """A reverse-path or forward-path.

    ``text`` is the mailbox as the peer wrote it, without brackets and without a route; ``local`` is
    unquoted; ``domain`` is lower case, in A-labels, and keeps a trailing dot or a literal's
    brackets.  The null reverse-path is empty throughout; ``postmaster`` alone may lack a domain
    (RFC 5321 4.1.1.3).
    """

    text: str
    local: str
    domain: str
    route: tuple[str, ...] = ()

    @property
    def mailbox(self) -> str:
        """One word for all spellings of a mailbox (unquoted, lower case), by which to compare."""
        return f"{self.local.lower()}@{self.domain}"

    @property
    def address(self) -> str:
        """``text`` with its domain as ``domain`` has it; the local part as the peer wrote it."""
        local = self.text[: _end_of_local(self.text)]
        return f"{local}@{self.domain}" if self.domain else local


NULL: Final = Path("", "", "")


def parse_path(text: str, *, utf8: bool = False) -> Path:
    """What stands between the angle brackets; ``utf8`` as RFC 6531 allows.  Raises BadPath."""
    if len(text) > PATH_CHARACTERS:
        raise BadPath(f"address longer than {PATH_CHARACTERS} characters")
    if not text:
        return NULL
    if not text.isascii() and not (utf8 and _is_plain(text)):
        raise BadPath("address holds a character that is not allowed")
    route, mailbox = _split_route(text)
    end = _end_of_local(mailbox)
    local = _unquoted(mailbox[:end])
    if end == len(mailbox):
        if local.lower() != "postmaster" or route:
            raise BadPath("address without a domain")
        return Path(mailbox, local, "")
    domain = _ascii_domain(mailbox[end + 1 :])
    if not (is_domain(domain.removesuffix(".")) or is_literal(domain)):
        raise BadPath("domain of the address is malformed")
    return Path(mailbox, local, domain.lower(), route)


def split_argument(argument: str, keyword: str) -> tuple[str, str]:
    """``FROM:<path> PARAMETERS`` to ``path`` and ``PARAMETERS``.  Raises BadPath."""
    prefix = f"{keyword}:"
    if argument[: len(prefix)].upper() != prefix:
        raise BadPath(f"expected {prefix}<address>")
    rest = argument[len(prefix) :].lstrip(" ")
    if not rest:
        raise BadPath(f"expected {prefix}<address>")
    bracketed = rest.startswith("<")
    start = 1 if bracketed else 0
    end = _find_unquoted(rest, ">" if bracketed else " ", start)
    if end < 0:
        if bracketed:
            raise BadPath("closing bracket of the address is missing")
        end = len(rest)
    after = rest[end + 1 :]
    if bracketed and after and not after.startswith(" "):
        raise BadPath("a space must follow the address")
    return rest[start:end], after.strip(" ")


def parse_parameters(text: str, *, utf8: bool = False) -> dict[str, str]:
    """``SIZE=100 BODY=8BITMIME`` to a dictionary, keywords in upper case, "" where without value.

    ``utf8``: a value may hold letters of any script (RFC 6533), which few parameters allow.
    Raises BadParameter: malformed, or given twice.
    """
    parameters: dict[str, str] = {}
    for word in filter(None, text.split(" ")):
        keyword, equals, value = word.partition("=")
        if not keyword or keyword.startswith("-") or not _KEYWORD.issuperset(keyword):
            raise BadParameter("malformed parameter")
        plain = _VALUE.issuperset(value) or (utf8 and all(map(_is_value, value)))
        if bool(value) != bool(equals) or not plain:
            raise BadParameter("malformed value of a parameter")
        if keyword.upper() in parameters:
            raise BadParameter("parameter given twice")
        parameters[keyword.upper()] = value
    return parameters


def is_domain(text: str) -> bool:
    """A domain name in ASCII, without a trailing dot; the letter of RFC 1035 is not asked for."""
    return len(text) <= _DOMAIN_CHARACTERS and all(map(_is_label, text.split(".")))


def is_literal(text: str) -> bool:
    """An address literal: ``[192.0.2.1]`` or ``[IPv6:2001:db8::1]`` (RFC 5321 4.1.3)."""
    if not (text.startswith("[") and text.endswith("]") and text.isascii()) or "%" in text:
        return False
    inside = text[1:-1]
    try:
        if inside[:5].upper() == "IPV6:":
            ipaddress.IPv6Address(inside[5:])
        else:
            ipaddress.IPv4Address(inside)
    except ValueError:
        return False
    return True


def _is_value(char: str) -> bool:
    return char in _VALUE if char.isascii() else _is_plain(char)


def _is_plain(text: str) -> bool:
    """Whether all that is not ASCII in it can be seen, was UTF-8, and stays beyond ASCII."""
    strange = "".join(char for char in text if not char.isascii())
    return (
        strange.isprintable()
        and "\ufffd" not in strange
        and not any(map(str.isascii, unicodedata.normalize("NFKC", strange)))
    )


def _ascii_domain(domain: str) -> str:
    """In A-labels.  Raises BadPath."""
    try:
        return a_labels(domain)
    except UnicodeError as error:
        raise BadPath("domain of the address is malformed") from error


def _split_route(text: str) -> tuple[tuple[str, ...], str]:
    """``@a,@b:user@c`` (RFC 5321 appendix C) to its hosts and the mailbox."""
    if not text.startswith("@"):
        return (), text
    hosts, colon, mailbox = text.partition(":")
    route = tuple(host.strip(" ") for host in hosts.split(","))
    if not colon or not all(host[:1] == "@" and is_domain(host[1:]) for host in route):
        raise BadPath("malformed source route")
    return tuple(host[1:].lower() for host in route), mailbox


def _end_of_local(mailbox: str) -> int:
    """Where the ``@`` between local part and domain stands, or the end.

    A quoted local part ends at its quote; in any other the first ``@`` decides, so that a second
    one falls into the domain, which refuses it.
    """
    if not mailbox.startswith('"'):
        at = mailbox.find("@")
        return len(mailbox) if at < 0 else at
    close = _closing_quote(mailbox, 0)
    if close < 0 or mailbox[close + 1 : close + 2] not in ("", "@"):
        raise BadPath("quotes of the address do not match")
    return close + 1


def _unquoted(local: str) -> str:
    if not local.startswith('"'):
        if not local or not all(char in _DOT_STRING for char in local if char.isascii()):
            raise BadPath("local part of the address is malformed")
        return local
    content: list[str] = []
    escaped = False
    for char in local[1:-1]:
        if char.isascii() and not " " <= char <= "~":
            raise BadPath("local part of the address holds a character that is not allowed")
        if char == "\\" and not escaped:
            escaped = True
            continue
        escaped = False
        content.append(char)
    if not content:
        raise BadPath("local part of the address is empty")
    return "".join(content)


def _find_unquoted(text: str, wanted: str, start: int) -> int:
    """Where ``wanted`` first stands outside quotes, from ``start``; -1 for nowhere."""
    position = start
    while position < len(text):
        if text[position] == wanted:
            return position
        if text[position] == '"':
            position = _closing_quote(text, position)
            if position < 0:
                return -1
        position += 1
    return -1


def _closing_quote(text: str, opening: int) -> int:
    position = opening + 1
    while position < len(text):
        if text[position] == '"':
            return position
        position += 2 if text[position] == "\\" else 1
    return -1


def _is_label(label: str) -> bool:
    return (
        1 <= len(label) <= _LABEL_CHARACTERS
        and _LABEL.issuperset(label)
        and label[0] != "-"
        and label[-1] != "-"
    )
