"""What lies in quarantine/DATE/: found, shown, let out, and in the end forgotten.

For each message there are ``ID``, ``ID.why.txt`` and perhaps ``ID_d/`` with decoded parts; plain
files, which an administrator may read and move by hand as well.  Letting a message out moves the
file ``ID`` alone: what explains it stays for the record until it expires.

Every function raises TemporaryFailure where the disk fails, Gone where somebody was quicker.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from spoolscan.envelope import Recipient, ScanMark
from spoolscan.errors import TemporaryFailure
from spoolscan.queueid import QUEUE_ID
from spoolscan.spool import Gone, Message, Spool

FOLDER: Final = "quarantine"
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_COPY: Final = 1 << 20  # bytes
_WHY: Final = 65_536  # bytes of a why.txt that are read


@dataclass(frozen=True, slots=True)
class Case:
    """One message, or what is left of it: ``there`` is whether the mail itself still is.

    ``day`` is the directory's name, ``size`` all its files in bytes.
    """

    id: str
    day: str
    size: int
    there: bool

    @property
    def state(self) -> str:
        """For `Spool.open`."""
        return f"{FOLDER}/{self.day}"


def cases(spool: Spool) -> list[Case]:
    """All of them, the oldest first."""
    return [case for day in _days(spool) for case in _of_day(spool, day)]


def find(spool: Spool, queue_id: str) -> Case:
    """Raises Gone where there is none of that name."""
    if QUEUE_ID.fullmatch(queue_id):
        for case in cases(spool):
            if case.id == queue_id:
                return case
    raise Gone(f"{FOLDER}/: no {queue_id!r}; `spoolscan quarantine list` shows what is there")


def why(spool: Spool, case: Case) -> str:
    """The words of its why.txt; "" where that is not there any more."""
    try:
        with open(f"{spool.path(case.state, case.id)}.why.txt", "rb") as file:
            return file.read(_WHY).decode("utf-8", "replace").replace("\r\n", "\n")
    except OSError:
        return ""


def parts(spool: Spool, case: Case) -> list[tuple[str, int]]:
    """The decoded parts beside it: file name and bytes."""
    try:
        with os.scandir(f"{spool.path(case.state, case.id)}_d") as found:
            return sorted((it.name, it.stat(follow_symlinks=False).st_size) for it in found)
    except OSError:
        return []


def release(spool: Spool, case: Case) -> None:
    """Deliver it to its recipients: into outgoing/, marked so that nobody scans it again."""
    with spool.open(case.state, case.id) as message:
        message.mark_scan(ScanMark("released", message.envelope.scan.tries))
        message.move("outgoing")


def rescan(spool: Spool, case: Case) -> None:
    """Judge it anew, by the rules of now: into incoming/."""
    with spool.open(case.state, case.id) as message:
        message.mark_scan(ScanMark())
        message.move("incoming")


def forward(spool: Spool, case: Case, sender: str, recipient: str) -> str:
    """Send a copy to somebody else, as it is; returns the copy's queue id.

    ``sender`` gets the report where it cannot be delivered.
    """
    with spool.open(case.state, case.id) as message:
        copy = replace(
            message.envelope,
            sender=sender,
            recipients=(Recipient(recipient),),
            scan=ScanMark("released"),
            extras=(),
        )
        draft = spool.draft(copy)
        try:
            for piece in _pieces(message):
                draft.write(piece)
            return draft.commit(to="outgoing")
        finally:
            draft.discard()


def expire(spool: Spool, before: str, most: int) -> tuple[int, int]:
    """Forget what came on days before ``before`` (YYYY-MM-DD), and then the oldest while all

    together have more than ``most`` bytes (0: any).  Returns how many messages, and their bytes.
    """
    found = cases(spool)
    left = sum(case.size for case in found)
    count = size = 0
    for case in found:
        if case.day < before or (most and left > most):
            spool.expunge(case.state, case.id)
            left -= case.size
            size += case.size
            count += 1
    return count, size


def _pieces(message: Message) -> Iterator[bytes]:
    for offset in range(0, message.size, _COPY):
        yield message.read(offset, _COPY)


def count(spool: Spool) -> int:
    """How many messages there are, by listings alone.  Raises TemporaryFailure."""
    return sum(len(spool.names(f"quarantine/{day}")) for day in _days(spool))


def _days(spool: Spool) -> list[str]:
    try:
        return sorted(filter(_DAY.fullmatch, os.listdir(spool.path(FOLDER))))
    except OSError as error:
        raise TemporaryFailure.from_os(error, f"listing {FOLDER}/") from error


def _of_day(spool: Spool, day: str) -> list[Case]:
    """What is there, and what is left of what is not."""
    sizes: dict[str, int] = {}
    there: set[str] = set()
    folder = spool.path(FOLDER, day)
    try:
        with os.scandir(folder) as found:
            for item in found:
                queue_id = item.name.removesuffix(".why.txt").removesuffix("_d")
                if not QUEUE_ID.fullmatch(queue_id):
                    continue
                if item.name == queue_id:
                    there.add(queue_id)
                sizes[queue_id] = sizes.get(queue_id, 0) + _size(item)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise TemporaryFailure.from_os(error, f"listing {FOLDER}/{day}") from error
    return [Case(name, day, size, name in there) for name, size in sorted(sizes.items())]


def _size(item: os.DirEntry[str]) -> int:
    try:
        if not item.is_dir(follow_symlinks=False):
            return item.stat(follow_symlinks=False).st_size
        with os.scandir(item.path) as inside:
            return sum(it.stat(follow_symlinks=False).st_size for it in inside)
    except FileNotFoundError:
        return 0
