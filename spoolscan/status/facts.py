"""What stages, queues, disk and jobs are like now: a row each, by looking only.

Cheap: a listing for each state, a few small files, one lock tried for each stage.  No engine is
asked here, for one that hangs would make us hang; mail that waits for it shows in incoming/.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from spoolscan import quarantine
from spoolscan.config import Config
from spoolscan.errors import SpoolscanError
from spoolscan.jobs import stamps
from spoolscan.log import safe
from spoolscan.queue import STATES
from spoolscan.signatures import known
from spoolscan.spool import Spool

STAGES: Final = ("smtpd", "scanmail", "smtpfwdd", "jobs")


@dataclass(frozen=True, slots=True)
class Row:
    """One thing.  ``trouble`` is why it is not well, in words, or empty; ``numbers`` by what they
    count: ``messages``, ``oldest`` and ``age`` in seconds, ``free`` in bytes, ``done`` since the
    epoch."""

    id: str
    words: str
    trouble: str = ""
    numbers: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def facts(settings: Config, spool: Spool, now: float) -> list[Row]:
    """Every row; what cannot be looked at is trouble of its own."""
    rows = []
    for name, look in (
        ("stages", _stages), ("queues", _queues), ("disk", _disk), ("jobs", _jobs),
        ("signatures", _signatures),
    ):  # fmt: skip
        try:
            rows += list(look(settings, spool, now))
        except (SpoolscanError, OSError) as error:
            rows.append(Row(name, "cannot be looked at", safe(error)))
    return rows


def _stages(settings: Config, spool: Spool, now: float) -> Iterator[Row]:  # noqa: ARG001 - as all
    for name in STAGES:
        runs = spool.is_locked(name)
        words = "running" if runs else "not running"
        yield Row(f"stage {name}", words, "" if runs else words, {"up": float(runs)})


def _queues(settings: Config, spool: Spool, now: float) -> Iterator[Row]:
    for state in STATES:
        names = spool.names(state)
        oldest = max(0.0, now - _arrived(names[0])) if names else 0.0
        words = f"{len(names)} messages" + (f", the oldest {age(oldest)} old" if names else "")
        trouble = ""
        if state == "incoming" and oldest > settings.metrics.waiting:
            trouble = f"mail waits for {age(oldest)} to be scanned"
        yield Row(state, words, trouble, {"messages": len(names), "oldest": oldest})
    cases = quarantine.count(spool)
    yield Row("quarantine", f"{cases} messages", "", {"messages": cases})


def _disk(settings: Config, spool: Spool, now: float) -> Iterator[Row]:  # noqa: ARG001 - as all
    room = spool.room()
    limits = settings.receiver
    trouble = ""
    if room.free < limits.min_free or room.inodes < limits.min_inodes:
        trouble = "too little room: no mail is taken"
    words = f"{room.free >> 20} MiB free"
    yield Row("disk", words, trouble, {"free": room.free, "inodes": room.inodes})


def _jobs(settings: Config, spool: Spool, now: float) -> Iterator[Row]:
    for name, when in settings.jobs.times().items():
        stamp = stamps.read(spool, name, now)
        done = f"done {age(now - stamp.done)} ago" if stamp.done else "not done yet"
        trouble = f"failed {stamp.failures} times" if stamp.failures else ""
        words = f"{done}; {when or 'never by itself'}"
        yield Row(f"job {name}", words, trouble, {"done": stamp.done, "failures": stamp.failures})


def _signatures(settings: Config, spool: Spool, now: float) -> Iterator[Row]:  # noqa: ARG001 - as all
    for name, one in known.read(spool).items():
        numbers = {"changed": one.changed, "checked": one.checked}
        words = f"{age(now - one.changed)} old" if one.changed else "of no known age"
        yield Row(f"signatures {name}", words, one.trouble, numbers)


def _arrived(queue_id: str) -> float:
    """Seconds since the epoch, by the second in the queue id."""
    try:
        return datetime.strptime(queue_id[:16], "%Y%m%dt%H%M%Sz").replace(tzinfo=UTC).timestamp()
    except ValueError:  # of the form, but no date: somebody made it up
        return 0.0


def age(seconds: float) -> str:
    """As short as ``5m``."""
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"
