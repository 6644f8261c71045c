"""``etc/access``: who is refused, taken or relayed for, as sites of Sendmail write it.

::

    Connect:192.0.2          REJECT
    From:spam@b.example      ERROR:5.7.1:550 we know you
    To:postmaster@           OK

A key is ``user@domain``, ``user@``, a domain (with all below it), an address, or a network as
``192.0.2``, ``192.0.2.0/24``, ``IPv6:2001:db8`` or ``2001:db8::/32``; ``<>`` is the null
reverse-path.  ``Connect:`` means the peer, by its confirmed name or its address, ``From:`` the
sender, ``To:`` the recipient; without one of them a key means all three.

For each of the three the most special key counts: ``user@domain``, then ``user@``, then the longest
domain; of a peer its name before its address, and of addresses the smallest network.  Of the three
the first refusal decides, else DISCARD, else RELAY, else OK.

RELAY is not for senders, for anybody may write any sender.

Pure; looked up in time that does not depend on the number of lines.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from spoolscan.receiver.address import is_domain
from spoolscan.receiver.case import Case, Mailbox, canonical_domain
from spoolscan.receiver.policy import IPAddress, IPNetwork
from spoolscan.receiver.reply import Reply
from spoolscan.receiver.rules import ACCESS_DENIED, template
from spoolscan.receiver.rules.scan import Mistake, Token, read_lines

_TAG: Final = re.compile(r"(?i)(connect|from|to):")
_LINE: Final = re.compile(r"(\S+)[ \t]+(\S.*)")
_PREFIX: Final = re.compile(r"\d{1,3}(?:\.\d{1,3}){0,3}")
_ERROR: Final = re.compile(r'(?i)error:(?:(?P<status>[45]\.\d+\.\d+):)?"?(?P<rest>[^"]*)"?')
_KEYS: Final = "allowed: user@domain, user@, a domain, 192.0.2, 192.0.2.0/24, IPv6:2001:db8"
_VALUES: Final = "allowed: OK, RELAY, REJECT, DISCARD, ERROR:D.S.N:code text, 550 text"


class Grant(Enum):
    """What an entry says that is no refusal."""

    DISCARD = "DISCARD"
    RELAY = "RELAY"
    OK = "OK"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: a refusal, or one of the words."""

    line: int
    says: Reply | Grant
    tagged: bool


@dataclass(slots=True)
class _Table:
    """The entries that count for one of peer, sender and recipient, each by its key."""

    entries: dict[str, Entry] = field(default_factory=dict)
    sizes: set[tuple[int, int]] = field(default_factory=set)  # (version, bits) of its networks

    def of_mailbox(self, mailbox: Mailbox) -> Entry | None:
        if not mailbox.local:
            return self.entries.get("<>")
        return (
            self.entries.get(f"{mailbox.local}@{mailbox.domain}")
            or self.entries.get(f"{mailbox.local}@")
            or self.of_domain(mailbox.domain)
        )

    def of_domain(self, name: str) -> Entry | None:
        """The longest that is the name or stands above it."""
        while name:
            if found := self.entries.get(name):
                return found
            name = name.partition(".")[2]
        return None

    def of_address(self, address: IPAddress | None) -> Entry | None:
        """The smallest network around it."""
        if address is not None:
            for version, bits in sorted(self.sizes, reverse=True):
                if version == address.version:
                    network = ipaddress.ip_network(f"{address}/{bits}", strict=False)
                    if found := self.entries.get(str(network)):
                        return found
        return None


@dataclass(frozen=True, slots=True)
class Access:
    """The entries of one file.  Immutable once read."""

    peers: _Table = field(default_factory=_Table)
    senders: _Table = field(default_factory=_Table)
    recipients: _Table = field(default_factory=_Table)

    @classmethod
    def parse(cls, text: bytes, source: str) -> Access:
        """Read the bytes of a file; ``source`` is its name in messages.  Raises ConfigError."""
        access = cls()
        read_lines(text, source, access._add)
        return access

    def __len__(self) -> int:
        """How many lines say something."""
        tables = (self.peers, self.senders, self.recipients)
        return len({entry.line for table in tables for entry in table.entries.values()})

    @property
    def grants_by_name(self) -> bool:
        """Whether a peer whose name is not known may lose something by that."""
        return any(
            isinstance(entry.says, Grant)
            for key, entry in self.peers.entries.items()
            if "/" not in key
        )

    def decide(self, case: Case) -> Entry | None:
        """What is said of this case; None where nothing is."""
        found = [
            entry
            for entry in (
                self.peers.of_domain(case.client.name)
                or self.peers.of_address(case.client.address),
                self.senders.of_mailbox(case.sender),
                self.recipients.of_mailbox(case.recipient),
            )
            if entry is not None
        ]
        for entry in found:
            if isinstance(entry.says, Reply):
                return entry
        for word in Grant:
            for entry in found:
                if entry.says is word:
                    return entry
        return None

    # -- reading -----------------------------------------------------------------------------------

    def _add(self, line: str, number: int) -> None:
        """Raises Mistake."""
        parts = _LINE.fullmatch(line)
        if parts is None:
            raise Mistake("a line is a key, blanks and a value", 0)
        tag = _TAG.match(parts[1])
        start = tag.end() if tag is not None else 0
        asked = tag[1].lower() if tag is not None else ""
        entry = Entry(number, _value(Token(parts[2], parts.start(2))), bool(asked))
        key = _key(Token(parts[1][start:], start))
        network = not isinstance(key, str)
        mailbox = "@" in str(key) or key == "<>"
        relays = entry.says is Grant.RELAY
        tables = {
            "connect": (self.peers, not mailbox),
            "from": (self.senders, not network and not relays),
            "to": (self.recipients, not network),
        }
        if asked == "from" and relays:
            raise Mistake("anybody may write any sender; RELAY is for Connect: and To:", 0)
        if asked and not tables[asked][1]:
            raise Mistake("an address is for Connect:, user@domain for From: and To:", start)
        for name, (table, may) in tables.items():
            if may and asked in ("", name):
                _keep(table, str(key), entry, start)
        if not isinstance(key, str):
            self.peers.sizes.add((key.version, key.prefixlen))


def _keep(table: _Table, key: str, entry: Entry, column: int) -> None:
    """A key with a tag stands above the same one without."""
    there = table.entries.get(key)
    if there is not None and there.tagged == entry.tagged:
        raise Mistake(f"the same key as in line {there.line}", column)
    if there is None or entry.tagged:
        table.entries[key] = entry


def _key(key: Token) -> str | IPNetwork:
    """As it is looked up.  Raises Mistake."""
    text = key.text
    if text == "<>":
        return text
    if "@" in text:
        local, _, domain = text.rpartition("@")
        domain = canonical_domain(domain)
        if not local or (domain and not is_domain(domain)):
            raise Mistake(_KEYS, key.column)
        return f"{local.lower()}@{domain}"
    if set(text) & set("/:[") or _PREFIX.fullmatch(text):
        return _network(key)
    domain = canonical_domain(text)
    if not is_domain(domain):
        raise Mistake(_KEYS, key.column)
    return domain


def _network(key: Token) -> IPNetwork:
    """Raises Mistake."""
    text = re.sub(r"(?i)^ipv6:", "", key.text.removeprefix("[").removesuffix("]"))
    if _PREFIX.fullmatch(text):
        parts = text.split(".")
        text = ".".join(parts + ["0"] * (4 - len(parts))) + f"/{8 * len(parts)}"
    elif re.fullmatch(r"[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,6}:?", text):
        groups = text.rstrip(":").split(":")
        text = ":".join(groups) + f"::/{16 * len(groups)}"
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise Mistake(f"{error}; {_KEYS}", key.column) from error


def _value(value: Token) -> Reply | Grant:
    """Raises Mistake."""
    word = value.text.upper()
    if word == "REJECT":
        return ACCESS_DENIED
    if word in Grant.__members__:
        return Grant[word]
    text, column = value.text, value.column
    error = _ERROR.fullmatch(text)
    if error is not None:
        code, _, words = error["rest"].partition(" ")
        text = f"{code} {error['status']} {words}" if error["status"] else error["rest"]
        column += error.start("rest")
    if not re.match(r"[45]\d\d ", text):
        raise Mistake(_VALUES, value.column)
    return template.parse(Token(text.replace("%", "%%"), column)).plain()
