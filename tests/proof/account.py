"""What was promised, held against what is there: in the spool, and with the next hop."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from proof.mail import Letter, name_of
from spoolscan.errors import SpoolscanError
from spoolscan.queueid import QUEUE_ID
from spoolscan.spool import STATES, Spool

# Whatever we write above a message is one of these fields.
_OURS = re.compile(
    rb"(?:(?:Return-Path|Delivered-To|Received|X-Virus-Scanned):[^\n]*\n(?:[ \t][^\n]*\n)*)*"
)


@dataclass
class Account:
    """Names of letters; all but ``duplicates`` must stay empty.

    ``torn``: a file that is visible as a message and is not whole.  ``unscanned``: the next hop
    has, or is about to get, what nobody judged or what was judged bad.  ``untold``: a recipient
    was given up, or a message set aside, and nobody was told.
    """

    lost: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    unscanned: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    duplicates: Counter[str] = field(default_factory=Counter)

    @property
    def broken(self) -> bool:
        """The promise is."""
        return any(getattr(self, one.name) for one in fields(self) if one.name != "duplicates")

    def add(self, other: Account) -> None:
        for one in fields(self):
            if one.name == "duplicates":
                self.duplicates += other.duplicates
            else:
                getattr(self, one.name).extend(getattr(other, one.name))

    def __str__(self) -> str:
        counted = [f"{one.name} {len(getattr(self, one.name))}" for one in fields(self)[:-1]]
        return ", ".join([*counted, f"duplicates {self.duplicates.total()}"])

    def details(self) -> str:
        """Of what is wrong."""
        return "; ".join(
            f"{one.name}: {getattr(self, one.name)}"
            for one in fields(self)
            if one.name != "duplicates" and getattr(self, one.name)
        )


def is_unchanged(found: bytes, letter: Letter) -> bool:
    """Byte for byte, under lines of our own; ``found`` may have the line ends of a maildir."""
    wanted = letter.data.replace(b"\r\n", b"\n")
    found = found.replace(b"\r\n", b"\n")
    return found.endswith(wanted) and bool(_OURS.fullmatch(found[: len(found) - len(wanted)]))


def in_spool(spool: Spool, account: Account) -> dict[str, list[tuple[str, bytes]]]:
    """By name: in which states a letter lies whole, with its bytes.  What is torn is entered."""
    there: dict[str, list[tuple[str, bytes]]] = {}
    root = Path(spool.root)
    for state in STATES[1:]:
        folder = root / state
        folders = sorted(folder.iterdir()) if state == "quarantine" else [folder]
        for place in filter(Path.is_dir, folders):
            for path in sorted(place.iterdir()):
                if not QUEUE_ID.fullmatch(path.name):
                    continue
                where = str(place.relative_to(root))
                try:
                    with spool.open(where, path.name) as message:
                        data = message.read()
                except SpoolscanError as error:
                    account.torn.append(f"{where}/{path.name}: {error}")
                    continue
                there.setdefault(name_of(data), []).append((state, data))
    return there


def _why(spool: Spool, name: str) -> str:
    """The words beside a held letter."""
    for path in (Path(spool.root) / "hold").glob("*.why.txt"):
        message = path.with_name(path.name.removesuffix(".why.txt"))
        if message.exists() and f"Subject: proof {name}\r\n".encode() in message.read_bytes():
            return path.read_text("utf-8", "replace")
    return "nobody says why"


def visible(spool: Spool, letters: Mapping[str, Letter], judged: Iterable[str]) -> Account:
    """After a crash, before anything is brought back: is all that is visible as it should be?"""
    account = Account()
    known = set(judged)
    for name, copies in in_spool(spool, account).items():
        if name:
            for state, data in copies:
                if not is_unchanged(data, letters[name]):
                    account.altered.append(name)
                if state == "outgoing" and (name not in known or not letters[name].passes):
                    account.unscanned.append(name)
    return account


def settle(
    spool: Spool,
    letters: Mapping[str, Letter],
    promised: Iterable[str],
    delivered: Iterable[bytes],
    *,
    reports: bool = True,
) -> Account:
    """When all is done.  ``delivered`` is all that the next hop has, reports and notices too.

    ``promised`` are the names of the letters that were acknowledged.  ``reports``: whether those of
    refused recipients come to the same next hop.
    """
    account = Account()
    there = in_spool(spool, account)
    copies: Counter[str] = Counter()
    others = []
    for data in delivered:
        name = name_of(data)
        if not name:
            others.append(data)
            continue
        copies[name] += 1
        if not is_unchanged(data, letters[name]):
            account.altered.append(name)
        if not letters[name].passes:
            account.unscanned.append(name)
    account.duplicates = Counter({name: count - 1 for name, count in copies.items() if count > 1})
    told = b"\n".join(others).replace(b"\r\n", b"\n").decode("ascii", "replace")
    for name in promised:
        letter = letters[name]
        states = {state for state, data in there.get(name, []) if is_unchanged(data, letter)}
        if letter.passes:
            if not copies[name]:
                if states:
                    account.stuck.append(f"{name} in {states}: {_why(spool, name)}")
                else:
                    account.lost.append(name)
            elif reports and letter.kind == "refused" and f"Subject: proof {name}\n" not in told:
                account.untold.append(name)
        elif not states:
            account.lost.append(name)
        elif not states & {"quarantine", "hold"}:
            account.stuck.append(f"{name} in {states}")
    return account
