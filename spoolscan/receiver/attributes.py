"""What a mail server that is trusted says of the peer behind it: XCLIENT and XFORWARD of Postfix.

``NAME=value`` words, the values in xtext (RFC 3461 section 4); ``[UNAVAILABLE]`` and
``[TEMPUNAVAIL]`` say that there is none.  The attributes are those of Postfix's own
XCLIENT_README and XFORWARD_README.  One that is understood but of no use to us is only checked.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from spoolscan.envelope import from_xtext

XCLIENT: Final = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT")
XFORWARD: Final = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE")

_UNKNOWN: Final = frozenset({"[UNAVAILABLE]", "[TEMPUNAVAIL]"})
_XTEXT: Final = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")
_LONGEST: Final = 255
_NAME: Final = re.compile(r"[A-Za-z0-9._:-]+")
_NUMBER: Final = re.compile(r"[0-9]{1,5}")


class BadAttribute(ValueError):
    """What follows the command is no list of attributes.  The text quotes nothing from the peer."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """None where nothing was said of it, "" where it is known that there is none.

    ``address`` is an IP address in its usual form, ``name`` a host name in lower case, ``helo``
    what the peer called itself (printable), ``login`` as whom it authenticated.
    """

    name: str | None = None
    address: str | None = None
    helo: str | None = None
    login: str | None = None

    def over(self, older: Attributes) -> Attributes:
        """These, and of the older ones those that are not among these."""
        said = {key: value for key in _FIELDS.values() if (value := getattr(self, key)) is not None}
        return replace(older, **said)


_FIELDS: Final = {"NAME": "name", "ADDR": "address", "HELO": "helo", "LOGIN": "login"}
NOTHING: Final = Attributes()


def read_attributes(argument: str, allowed: tuple[str, ...]) -> Attributes:
    """What stands behind XCLIENT or XFORWARD.  Raises BadAttribute."""
    found: dict[str, str] = {}
    for word in filter(None, argument.split(" ")):
        name, equals, value = word.partition("=")
        name = name.upper() if name.isascii() else ""
        if name not in allowed:
            raise BadAttribute("attribute not supported")
        if not equals or not _XTEXT.fullmatch(value):
            raise BadAttribute("malformed value of an attribute")
        text = "" if value.upper() in _UNKNOWN else _READERS[name](from_xtext(value))
        if name in _FIELDS:
            found[_FIELDS[name]] = text
    if not argument:
        raise BadAttribute("attributes must follow")
    return Attributes(**found)


def _address(text: str) -> str:
    bare = text[5:] if text[:5].upper() == "IPV6:" else text
    try:
        address = ipaddress.ip_address(bare)
    except ValueError as error:
        raise BadAttribute("malformed address") from error
    if "%" in bare:
        raise BadAttribute("malformed address")
    return str(getattr(address, "ipv4_mapped", None) or address)


def _host(text: str) -> str:
    if len(text) > _LONGEST or not _NAME.fullmatch(text):
        raise BadAttribute("malformed host name")
    return text.lower()


def _number(text: str) -> str:
    if not _NUMBER.fullmatch(text):
        raise BadAttribute("malformed number")
    return text


def _words(text: str) -> str:
    if len(text) > _LONGEST or not text.isprintable():
        raise BadAttribute("malformed value of an attribute")
    return text


_READERS: Final[Mapping[str, Callable[[str], str]]] = {
    "NAME": _host,
    "ADDR": _address,
    "PORT": _number,
    "PROTO": _words,
    "HELO": _words,
    "LOGIN": _words,
    "DESTADDR": _address,
    "DESTPORT": _number,
    "IDENT": _words,
    "SOURCE": _words,
}
