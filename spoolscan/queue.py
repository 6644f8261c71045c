"""What waits in the spool, and what an administrator does with it, by renames alone.

The stages may run meanwhile: they look at the directories again, and a file that is no longer where
it was is no trouble to them.  What the scanner has in its hands is left alone.

=========  ======================  ================================================================
hold       incoming, outgoing      to hold/
release    hold                    to outgoing/ what was found clean, or what is to go unscanned; to
                                   incoming/ all else
requeue    hold, outgoing          to incoming/: it is scanned again
delete     all but scanning        it is gone
flush      outgoing                tried now
=========  ======================  ================================================================

Fails with Gone, TemporaryFailure and Corrupt as the spool does, Refused where the table says no.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final

from spoolscan.envelope import PENDING, Envelope, ScanMark
from spoolscan.errors import SpoolscanError
from spoolscan.spool import Entry, Gone, Spool

STATES: Final = ("incoming", "scanning", "outgoing", "hold")
FROM: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "hold": ("incoming", "outgoing"),
        "release": ("hold",),
        "requeue": ("hold", "outgoing"),
        "delete": ("incoming", "outgoing", "hold"),
        "flush": ("outgoing",),
    }
)


class Refused(SpoolscanError):
    """Not to be done with a message in that state."""


@dataclass(frozen=True, slots=True)
class Item:
    """One message; ``envelope`` is None where it cannot be read, ``problem`` says why then."""

    state: str
    entry: Entry
    envelope: Envelope | None = None
    size: int = 0  # of the message, in bytes; of the file where it cannot be read
    problem: str = ""

    @property
    def queue_id(self) -> str:
        return self.entry.queue_id

    @property
    def arrived(self) -> float:
        """Seconds since the epoch."""
        return self.envelope.arrived.timestamp() if self.envelope else self.entry.due

    @property
    def pending(self) -> tuple[str, ...]:
        """Who does not have it yet."""
        recipients = self.envelope.recipients if self.envelope else ()
        return tuple(one.address for one in recipients if one.state in PENDING)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages; what is empty asks for nothing.

    Addresses are compared without case, ``*`` and ``?`` stand for any characters; without an ``@``
    it is the domain that counts, and ``<>`` is the null reverse-path.  ``older`` in seconds.
    """

    ids: frozenset[str] = frozenset()
    states: tuple[str, ...] = STATES
    sender: str = ""
    recipient: str = ""
    older: float = 0.0

    def takes(self, item: Item, now: float) -> bool:
        envelope = item.envelope
        return (
            (not self.ids or item.queue_id in self.ids)
            and now - item.arrived >= self.older
            and (not self.sender or (envelope is not None and fits(self.sender, envelope.sender)))
            and (
                not self.recipient or any(fits(self.recipient, address) for address in item.pending)
            )
        )


def fits(pattern: str, address: str) -> bool:
    """See `Wanted`."""
    pattern, address = pattern.lower(), address.lower()
    if pattern == "<>":
        return not address
    return fnmatchcase(address if "@" in pattern else address.rpartition("@")[2], pattern)


def items(spool: Spool, wanted: Wanted) -> Iterator[Item]:
    """State by state, oldest first, each read when it is asked for.  Raises TemporaryFailure."""
    now = time.time()
    for state in wanted.states:
        for queue_id in spool.names(state):
            if wanted.ids and queue_id not in wanted.ids:
                continue
            item = look(spool, state, queue_id)
            if item is not None and wanted.takes(item, now):
                yield item


def look(spool: Spool, state: str, queue_id: str) -> Item | None:
    """One message; None where it has gone on meanwhile.  Raises TemporaryFailure."""
    entry = spool.entry(state, queue_id)
    if entry is None:
        return None
    try:
        with spool.open(state, queue_id) as message:
            return Item(state, entry, message.envelope, message.size)
    except Gone:
        return None
    except SpoolscanError as error:
        return Item(state, entry, size=entry.size, problem=str(error))


def hold(spool: Spool, item: Item) -> str:
    """Set it aside; returns the state it is in now."""
    _check("hold", item)
    why = (
        f"Held by an administrator; it came from {item.state}/.\n"
        "`spoolscan queue release` lets it go on, as does moving it back.\n"
    )
    spool.hold(item.state, item.queue_id, why)
    return "hold"


def release(spool: Spool, item: Item, *, unscanned: bool = False) -> str:
    """Let it go on; ``unscanned``: to its recipients, whatever was found in it."""
    _check("release", item)
    with spool.open(item.state, item.queue_id) as message:
        if unscanned and not message.envelope.scan.clean:
            message.mark_scan(ScanMark("released"))
        clean = message.envelope.scan.clean or message.envelope.scan.result == "released"
        message.defer(time.time())
        message.move("outgoing" if unscanned or clean else "incoming")
        return message.state


def requeue(spool: Spool, item: Item) -> str:
    """Have it scanned again."""
    _check("requeue", item)
    with spool.open(item.state, item.queue_id) as message:
        message.mark_scan(ScanMark())
        message.defer(time.time())
        message.move("incoming")
        return message.state


def delete(spool: Spool, item: Item) -> str:
    """Remove it for good."""
    _check("delete", item)
    spool.remove(item.state, item.queue_id)
    return "deleted"


def flush(spool: Spool, chosen: Iterable[Item]) -> int:
    """Have them tried now, also where their next hop is being left alone; how many they are."""
    count = 0
    now = time.time()
    for item in chosen:
        _check("flush", item)
        spool.defer(spool.path(item.state, item.queue_id), now)
        count += 1
    if count:
        spool.wake("outgoing")
    return count


def missing(wanted: Wanted, found: Sequence[Item]) -> list[str]:
    """The queue ids that were asked for and are nowhere."""
    return sorted(wanted.ids - {item.queue_id for item in found})


def _check(what: str, item: Item) -> None:
    if item.state not in FROM[what]:
        allowed = " and ".join(f"{state}/" for state in FROM[what])
        raise Refused(f"{item.queue_id}: lies in {item.state}/; {what} is for {allowed}")
