"""The words of the fields SRC, FROM and TO, and what each fits."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from spoolscan.receiver.address import is_domain
from spoolscan.receiver.case import Case, Fact, Mailbox, canonical_domain
from spoolscan.receiver.policy import IPNetwork, parse_peer
from spoolscan.receiver.rules.patterns import Fits, is_regex, pattern
from spoolscan.receiver.rules.scan import Mistake, Token, closing

Test = Callable[[Case], bool | None]
Which = Callable[[Case], Mailbox]

_NUMBERS: Final = re.compile(r"[0-9.*/]+")
_NAME: Final = re.compile(r"[a-z0-9*_.-]+")
_OF_SOURCE: Final = frozenset({"ALL", "KNOWN", "UNKNOWN", "TRUSTED", "UNTRUSTED"})
_OF_ADDRESS: Final = frozenset({"ALL", "OURS"})
_KEYWORDS: Final = _OF_SOURCE | _OF_ADDRESS | {"USER", "EXCEPT"}


@dataclass(frozen=True, slots=True)
class Word:
    """``test`` goes by what is known; where it holds, ``fact`` says what to look up, if anything,
    and ``reads`` whether the answer makes the word fit.  No Fact to ask: the word does not fit.
    ``zone`` is the list that it asks.
    """

    test: Test
    fact: Callable[[Case], Fact | None] | None = None
    reads: Callable[[tuple[str, ...]], bool] = bool
    zone: str = ""


def source_word(word: Token) -> Word:
    """A word of SRC.  Raises Mistake."""
    user, at, host = _halves(word)
    if not at:
        return _host(word)
    inner = _host(host)
    fits = _user(user)
    return replace(inner, test=lambda case: fits(case) and inner.test(case))


def sender_word(word: Token) -> Word:
    """A word of FROM.  Raises Mistake."""
    return _address(word, lambda case: case.sender)


def recipient_word(word: Token) -> Word:
    """A word of TO.  Raises Mistake."""
    return _address(word, lambda case: case.recipient)


def has_name(word: Token) -> bool:
    """Whether a word of SRC goes by the name of the peer."""
    _, _, host = _halves(word)
    text = host.text
    by_address = text in ("ALL", "*", "TRUSTED", "UNTRUSTED") or text.startswith(("[", "RBL."))
    return not by_address and not _NUMBERS.fullmatch(text)


# -- the source ------------------------------------------------------------------------------------


def _host(word: Token) -> Word:
    text = word.text
    if text in _OF_SOURCE:
        return Word(_KNOWN_SOURCES[text])
    _no_keyword(word, _OF_SOURCE)
    if text.startswith("NS="):
        return _name_servers(word, lambda _: True, _domain_of_client)
    if text.startswith("RBL."):
        return _listed(word)
    if is_regex(text):
        fits = pattern(word)
        return Word(lambda case: fits(_address_of(case)) or _name_fits(case, fits))
    if text.startswith("[") or _NUMBERS.fullmatch(text):
        return Word(_network(word))
    if not _NAME.fullmatch(canonical_domain(text)):
        raise Mistake("not the name of a host, nor an address (IPv6: [2001:db8::/32])", word.column)
    fits = pattern(Token(canonical_domain(text), word.column))
    return Word(lambda case: _name_fits(case, fits))


_KNOWN_SOURCES: Final[dict[str, Test]] = {
    "ALL": lambda _: True,
    "KNOWN": lambda case: True if case.client.name else _perhaps(case),
    "UNKNOWN": lambda case: False if case.client.name else not case.client.unsure or None,
    "TRUSTED": lambda case: case.client.ours,
    "UNTRUSTED": lambda case: not case.client.ours,
}


def _perhaps(case: Case) -> bool | None:
    """What is to be said of a name that is not there."""
    return None if case.client.unsure else False


def _name_fits(case: Case, fits: Fits) -> bool | None:
    return fits(case.client.name) if case.client.name else _perhaps(case)


def _address_of(case: Case) -> str:
    return str(case.client.address or "")


def _network(word: Token) -> Test:
    """An address, address/bits, or a glob over an IPv4 address.

    Never matched against names: anybody may call his host 192.0.2.1 in his own reverse zone.
    """
    if "*" in word.text:
        fits = pattern(word)
        return lambda case: fits(_address_of(case))
    network = _read_network(word)
    return lambda case: case.client.address is not None and case.client.address in network


def _read_network(word: Token) -> IPNetwork:
    try:
        return ipaddress.ip_network(word.text.removeprefix("[").removesuffix("]"))
    except ValueError as error:
        reason = f"{error}; allowed: 192.0.2.1, 192.0.2.0/24, 192.0.2.*, [2001:db8::/32]"
        raise Mistake(reason, word.column) from error


def _listed(word: Token) -> Word:
    zone = canonical_domain(word.text.removeprefix("RBL."))
    if not is_domain(zone):
        raise Mistake("RBL. and the name of the list's zone", word.column)
    return Word(
        lambda case: case.client.address is not None and not case.client.ours,
        lambda case: Fact("listed", _address_of(case), zone),
        zone=zone,
    )


def _user(word: Token) -> Test:
    """Whether the peer authenticated as somebody who fits; the field's ancestors asked ident."""
    if word.text == "KNOWN":
        return lambda case: bool(case.client.user)
    if word.text == "UNKNOWN":
        return lambda case: not case.client.user
    if not word.text:
        raise Mistake("nobody stands before the @; write ALL@ for anybody", word.column)
    fits = pattern(word)
    return lambda case: bool(case.client.user) and fits(case.client.user.lower())


# -- the addresses ---------------------------------------------------------------------------------


def _address(word: Token, which: Which) -> Word:
    known = _KNOWN_ADDRESSES.get(word.text)
    if known is not None:
        return Word(lambda case: known(case, which(case)))
    _no_keyword(word, _OF_ADDRESS)
    if word.text.startswith("NS="):
        return _name_servers(word, lambda _: True, lambda case: which(case).domain)
    left, at, right = _halves(word)
    if not at and (is_regex(word.text) or "*" in word.text):
        whole = pattern(word)
        return Word(lambda case: whole(str(which(case))))
    if not (left.text and right.text):
        raise Mistake("not an address: write user@domain, *@domain or user@*", word.column)
    local = _local(left, which)
    if right.text.startswith("NS="):
        return _name_servers(right, local, lambda case: which(case).domain)
    domain = _domain(right, which)
    return Word(lambda case: local(case) and domain(case))


def _local(word: Token, which: Which) -> Test:
    if word.text == "USER":
        return lambda case: _user_name(case) == which(case).local != ""
    fits = pattern(word)
    return lambda case: bool(which(case).local) and fits(which(case).local)


def _user_name(case: Case) -> str:
    return case.client.user.lower().partition("@")[0]


def _domain(word: Token, which: Which) -> Test:
    if word.text == "OURS":
        return lambda case: _is_ours(case, which(case))
    if not is_regex(word.text) and not word.text.startswith("[") and word.text != "ALL":
        word = Token(canonical_domain(word.text), word.column)
        if not _NAME.fullmatch(word.text):
            raise Mistake("not a domain", word.column)
    fits = pattern(word)
    return lambda case: fits(which(case).domain)


def _is_ours(case: Case, mailbox: Mailbox) -> bool:
    """``postmaster`` without a domain is ours wherever it is (RFC 5321 4.5.1)."""
    return bool(mailbox.local) and (not mailbox.domain or mailbox.domain in case.ours)


_KNOWN_ADDRESSES: Final[dict[str, Callable[[Case, Mailbox], bool]]] = {
    "ALL": lambda _, __: True,
    "OURS": _is_ours,
    "<>": lambda _, mailbox: not mailbox.local,
}


# -- of both ---------------------------------------------------------------------------------------


def _name_servers(word: Token, test: Test, about: Callable[[Case], str]) -> Word:
    """``NS=``: KNOWN and UNKNOWN ask whether the domain exists, all else who serves it."""
    inner = Token(word.text.removeprefix("NS="), word.column + len("NS="))
    if inner.text in ("KNOWN", "UNKNOWN"):
        exists = inner.text == "KNOWN"
        return Word(test, _asking("exists", about), lambda found: bool(found) is exists)
    if not inner.text:
        raise Mistake("NS= and a name server, or NS=KNOWN, NS=UNKNOWN", word.column)
    if inner.text.startswith("[") or ("/" in inner.text and not is_regex(inner.text)):
        network = _read_network(inner)
        return Word(test, _asking("servers", about), lambda found: any(_lies_in(network, found)))
    fits = pattern(inner)
    return Word(test, _asking("servers", about), lambda found: any(map(fits, found)))


def _lies_in(network: IPNetwork, found: tuple[str, ...]) -> Iterator[bool]:
    """Of each that is an address: whether it lies in the network."""
    for one in found:
        address = parse_peer(one)
        yield address is not None and address in network


def _asking(kind: str, about: Callable[[Case], str]) -> Callable[[Case], Fact | None]:
    def fact(case: Case) -> Fact | None:
        domain = about(case)
        if not is_domain(domain):
            return None
        return Fact("exists" if kind == "exists" else "servers", domain)

    return fact


def _domain_of_client(case: Case) -> str:
    """The domain whose name servers speak for the peer: of its name, else of its address."""
    address = case.client.address
    return case.client.name or (address.reverse_pointer if address is not None else "")


def _halves(word: Token) -> tuple[Token, str, Token]:
    """Before and behind the ``@``: the last one, but for those within a regular expression.

    Without any, the first two are empty.
    """
    text = word.text
    if text.startswith("/"):
        at = closing(text, 0, "/", "") + 1
        if at < len(text) and text[at] != "@":
            raise Mistake("a blank, @ or : must follow a regular expression", word.column + at)
    else:
        at = text.find("@/") if "@/" in text else text.rfind("@")
    if not 0 <= at < len(text):
        return Token("", word.column), "", word
    return Token(text[:at], word.column), "@", Token(text[at + 1 :], word.column + at + 1)


def _no_keyword(word: Token, allowed: frozenset[str]) -> None:
    """A keyword in the wrong case or field would be taken for a name, and fit nothing."""
    upper = word.text.upper()
    if upper in allowed:
        raise Mistake(f"write {upper}", word.column)
    if upper in _KEYWORDS:
        here = ", ".join(sorted(allowed))
        raise Mistake(f"{upper} means nothing in this place; allowed here: {here}", word.column)
