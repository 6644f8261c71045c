"""One message in the forwarder's hands: taken from outgoing/, attempted, and put where it belongs.

After an attempt every recipient is of one of three kinds, and the message goes by them:

====================  ==========================================================================
delivered             marked SENT as soon as the next hop has said so; a sender who asked for it
                      is told, unless the next hop was asked to tell
refused, or expired   a report to the sender is on the disk first, then it is marked FAIL
deferred              stays; the message's next time is set.  When it is late a report to the
                      sender is on the disk first, then it is marked LATE: that is told once
====================  ==========================================================================

With none of the last kind left the file is removed.  What a sender hears of is his to say (NOTIFY
of RFC 3461).  A refused message with the null reverse-path (a report or notice itself) has nobody
to tell: it goes to hold/ with its reason, recipients as they are, so that moving it back tries it
again.  A crash between report and mark makes a second report; none of a failure is lost.

A conclusion blocks, and is drawn in a thread (`to_the_end`); the rest takes microseconds, but for
`mail` of a message that is not small.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, ParamSpec, TypeVar

from spoolscan import __version__, log
from spoolscan.envelope import FAIL, LATE, PENDING, SENT, TODO, Envelope, Recipient
from spoolscan.forwarder import dsn
from spoolscan.forwarder.delivery import Fate, Mail, Outcome, Success, Wish
from spoolscan.notices import Templates, post
from spoolscan.spool import Message, Spool

CHUNK: Final = 262_144  # most messages are one
P = ParamSpec("P")
T = TypeVar("T")
_EVENTS: Final = {Fate.DELIVERED: "forwarded", Fate.DEFERRED: "deferred", Fate.REFUSED: "failed"}


@dataclass(frozen=True, slots=True)
class Work:
    """An open message and what an attempt has to know of it; close ``message`` when done."""

    message: Message
    due: float  # when this attempt was to be made; seconds since the epoch
    pending: tuple[tuple[int, str], ...]  # (index, forward-path) of those still to do
    arrived: float  # what its age counts from; seconds since the epoch

    @property
    def warned(self) -> bool:
        """The sender knows of all of them that they are late."""
        recipients = self.message.envelope.recipients
        return all(recipients[index].state == LATE for index, _ in self.pending)

    def is_over(self, outcomes: Mapping[int, Outcome]) -> bool:
        """Each recipient has it, and nobody is to be told so by us."""
        return len(outcomes) == len(self.pending) and all(
            outcome.fate is Fate.DELIVERED
            and (outcome.success is Success.PASSED or not self._is_asked_for(index))
            for index, outcome in outcomes.items()
        )

    def _is_asked_for(self, index: int) -> bool:
        wanted = wish(self.message.envelope.recipients[index]).notify
        return bool(self.message.envelope.sender) and dsn.SUCCESS.is_wanted(wanted)


def take(spool: Spool, queue_id: str, due: float, sent: Set[tuple[int, str]] = frozenset()) -> Work:
    """Open a message of outgoing/, and read no more than its envelope.  Raises as `Spool.open`.

    ``sent`` are those, as in ``pending``, who have it though that could not be marked: it is now.
    """
    message = spool.open("outgoing", queue_id)
    pending = tuple(
        (index, recipient.address)
        for index, recipient in enumerate(message.envelope.recipients)
        if recipient.state in PENDING
    )
    if sent:
        try:
            message.mark([one[0] for one in pending if one in sent], SENT)
        except BaseException:
            message.close()
            raise
        pending = tuple(one for one in pending if one not in sent)
    return Work(message, due, pending, message.envelope.arrived.timestamp())


def mail(work: Work, indices: Iterable[int], top: bytes) -> Mail:
    """What a route gets: the message for these recipients, with ``top`` above its own header.

    Raises TemporaryFailure, Corrupt.
    """
    message = work.message
    start = message.read(0, CHUNK)
    rest = range(len(start), message.size, CHUNK)
    eight_bit = not start.isascii() or any(
        not message.read(offset, CHUNK).isascii() for offset in rest
    )

    async def content() -> AsyncIterator[bytes]:
        yield top + start
        for offset in rest:
            yield await asyncio.to_thread(message.read, offset, CHUNK)

    wanted = frozenset(indices)
    said = dict(message.envelope.extras)
    return Mail(
        queue_id=message.id,
        sender=message.envelope.sender,
        recipients=tuple(item for item in work.pending if item[0] in wanted),
        size=len(top) + message.size,
        eight_bit=eight_bit,
        eight_bit_header=eight_bit and not start.partition(b"\r\n\r\n")[0].isascii(),
        content=content,
        utf8="UTF8" in said,
        ret=said.get("RETN", ""),
        envid=said.get("ENVI", ""),
        wishes={index: wish(message.envelope.recipients[index]) for index in wanted},
        origin=origin(message.envelope),
        whole=top + start if not rest else None,
    )


def wish(recipient: Recipient) -> Wish:
    """What was asked for with RCPT."""
    said = dict(recipient.extras)
    return Wish(notify=said.get("NTFY", ""), orcpt=said.get("ORCP", ""))


def origin(envelope: Envelope) -> dict[str, str]:
    """Who gave the message to us, in the names of Postfix's XFORWARD; "" where it is not known."""
    ipv6 = "IPv6:" if ":" in envelope.peer_address else ""
    return {
        "NAME": envelope.peer_name,
        "ADDR": ipv6 + envelope.peer_address,
        "PROTO": envelope.protocol,
        "HELO": envelope.helo,
    }


def scanned_line(work: Work, hostname: str) -> bytes:
    """The mark of clean mail, for above its header; nothing for any other."""
    if not work.message.envelope.scan.clean:
        return b""
    return f"X-Virus-Scanned: spoolscan {__version__} at {hostname}\r\n".encode("ascii", "replace")


def tell(work: Work, known: Mapping[int, Outcome], hop: str) -> None:
    """Log what became of some recipients; ``hop`` is the next hop's name."""
    message, seconds = work.message, round(max(time.time() - work.arrived, 0.0), 3)
    for index, outcome in known.items():
        address = message.envelope.recipients[index].address
        log.event(
            "forwarder",
            message.id,
            event=_EVENTS[outcome.fate],
            to=address,
            fate=outcome.fate.value,
            status=outcome.status,
            said=outcome.text,
            hop=hop,
            detail={
                "sender": message.envelope.sender,
                "recipients": [address],
                "name": "" if outcome.fate is Fate.DELIVERED else outcome.text,
                "seconds": seconds,
            },
        )


async def to_the_end(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """In a thread; when cancelled it returns only when the thread has.

    The caller closes the file the thread may still be writing to.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


class Conclusion:
    """Says and does what follows from an attempt."""

    def __init__(
        self, spool: Spool, templates: Templates, hostname: str, expiry: float = 5 * 86_400.0
    ) -> None:
        """``expiry``: seconds for which a message is tried."""
        self._spool = spool
        self._templates = templates
        self._hostname = hostname
        self._expiry = timedelta(seconds=expiry)

    def draw(
        self, work: Work, outcomes: Mapping[int, Outcome], *, expired: bool, late: bool = False
    ) -> bool:
        """Report, mark, and remove or hold.  ``outcomes`` has one for each of ``work.pending``.

        Returns whether some recipient is still to be tried; the message stays then.  Raises
        ConfigError, Gone, TemporaryFailure: it stays too, and nobody was marked who was not told.
        """
        message = work.message
        message.sync_marks()
        done, given_up, waiting = _sorted(work, outcomes, expired=expired)
        if given_up and message.envelope.sender:
            self._report(work, dsn.FAILURE, given_up)
            message.mark(given_up, FAIL)
        elif given_up and not waiting:
            message.move("hold", _why(given_up.values()))
            log.event("forwarder", message.id, event="held", name="null sender, nobody to tell")
            return False
        self._report(work, dsn.SUCCESS, done)
        if late:
            unwarned = {
                index: item
                for index, item in waiting.items()
                if message.envelope.recipients[index].state == TODO
            }
            self._report(work, dsn.DELAY, unwarned)
            message.mark(unwarned, LATE)
        if not waiting:
            message.remove()
            log.event("forwarder", message.id, state="removed")
        return bool(waiting)

    def _report(self, work: Work, kind: dsn.Kind, items: Mapping[int, dsn.Item]) -> None:
        """Tell the sender of those of whom he wants to hear."""
        message, envelope = work.message, work.message.envelope
        wanted = [item for item in items.values() if kind.is_wanted(item.wish.notify)]
        if not wanted or not envelope.sender:
            return
        report = dsn.build(
            self._templates,
            self._hostname,
            envelope,
            kind,
            queue_id=message.id,
            content=message.read(0, CHUNK),
            items=wanted,
            until=envelope.arrived + self._expiry,
        )
        queue_id = post(self._spool, report, envelope.sender)
        log.event(
            "forwarder", message.id, event="reported", name=kind.template, report=queue_id,
            to=envelope.sender,
        )  # fmt: skip


def _sorted(
    work: Work, outcomes: Mapping[int, Outcome], *, expired: bool
) -> tuple[dict[int, dsn.Item], dict[int, dsn.Item], dict[int, dsn.Item]]:
    """Those to tell success of, those given up, and those that wait."""
    done: dict[int, dsn.Item] = {}
    given_up: dict[int, dsn.Item] = {}
    waiting: dict[int, dsn.Item] = {}
    for index, address in work.pending:
        outcome = outcomes[index]
        item = dsn.Item(address, outcome, wish(work.message.envelope.recipients[index]))
        if outcome.fate is Fate.REFUSED or (outcome.fate is Fate.DEFERRED and expired):
            given_up[index] = item
        elif outcome.fate is Fate.DEFERRED:
            waiting[index] = item
        elif outcome.success is not Success.PASSED:
            done[index] = item
    return done, given_up, waiting


def _why(failures: Iterable[dsn.Item]) -> str:
    lines = [
        f"  <{dsn.ascii_words(failure.recipient)}>: {dsn.ascii_words(failure.outcome.text)}\n"
        for failure in failures
    ]
    return (
        "This message could not be delivered, and having the null reverse-path (it is itself a\n"
        "report or a notice) it has no sender who could be told:\n\n"
        + "".join(lines)
        + "\nMove the file back into outgoing/ to try it again; delete it to be rid of it.\n"
    )
