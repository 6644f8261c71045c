"""What happened in a period, counted from the journal.

Few statements, each one scan of the rows of one kind of event: a day of a million events takes
seconds.  The database counts; nothing here holds rows but the delays, a number each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from spoolscan.journal import History

BAD: Final = ("infected", "banned", "unscannable")
_TOP: Final = 10
_PERCENT: Final = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Period:
    """From ``begin`` on, before ``end``; both with a time zone."""

    begin: datetime
    end: datetime

    @property
    def bounds(self) -> tuple[float, float]:
        """Seconds since the epoch."""
        return self.begin.timestamp(), self.end.timestamp()


@dataclass(slots=True)
class Tally:
    """Counts of one period.

    ``received`` by direction, as (messages, bytes); ``verdicts`` of what was judged; ``found`` is
    (name, verdict, messages), most first; ``senders`` and ``recipients`` are of what was bad;
    ``delays`` are seconds from received to forwarded at 50, 95 and 99 percent, () where nothing
    was forwarded; ``hours`` holds (good, bad) for each hour of the period; ``troubles`` is
    (reason, times).
    """

    received: dict[str, tuple[int, int]] = field(default_factory=dict)
    verdicts: dict[str, int] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)  # forwarded, failed ...: recipients
    found: list[tuple[str, str, int]] = field(default_factory=list)
    senders: list[tuple[str, int]] = field(default_factory=list)
    recipients: list[tuple[str, int]] = field(default_factory=list)
    denied: list[tuple[str, int]] = field(default_factory=list)
    denials: int = 0
    listed: list[tuple[str, int]] = field(default_factory=list)  # hits by DNSBL zone
    delays: tuple[float, ...] = ()
    hours: list[tuple[int, int]] = field(default_factory=list)
    troubles: list[tuple[str, int]] = field(default_factory=list)
    jobs: list[tuple[str, str, str]] = field(default_factory=list)  # name, result, its last words

    @property
    def messages(self) -> int:
        return sum(count for count, _ in self.received.values())

    @property
    def bad(self) -> int:
        return sum(self.verdicts.get(verdict, 0) for verdict in BAD)


def count(history: History, period: Period) -> Tally:
    """Raises TemporaryFailure where the journal cannot be read."""
    tally = Tally()
    tally.received = {
        direction or "in": (number, size or 0)
        for direction, number, size in history.query(
            "SELECT direction, count(*), sum(size) FROM events"
            " WHERE event = 'received' AND at >= ? AND at < ? GROUP BY direction",
            period.bounds,
        )
    }
    tally.verdicts = dict(_pairs(history, "SELECT verdict, count(*)", "judged", period))
    for event in ("forwarded", "deferred", "failed", "held", "reported", "released"):
        ((number,),) = history.query(
            "SELECT count(*) FROM events WHERE event = ? AND at >= ? AND at < ?",
            [event, *period.bounds],
        )
        tally.ended[event] = number
    tally.found = [
        (name or "", verdict, number)
        for name, verdict, number in history.query(
            "SELECT name, verdict, count(*) AS n FROM events"
            " WHERE event = 'judged' AND at >= ? AND at < ? AND verdict <> 'clean'"
            " GROUP BY name, verdict ORDER BY n DESC, name LIMIT ?",
            [*period.bounds, _TOP],
        )
    ]
    tally.senders = _top(history, "sender", "judged", period, "AND verdict <> 'clean'")
    tally.recipients = _top_recipients(history, period)
    tally.denied = _top(history, "name", "denied", period)
    ((tally.denials,),) = history.query(
        "SELECT count(*) FROM events WHERE event = 'denied' AND at >= ? AND at < ?", period.bounds
    )
    tally.listed = [
        (zone, number)
        for zone, number in history.query(
            "SELECT value, count(*) AS n FROM events, json_each(events.data, '$.dnsbl')"
            " WHERE event IN ('denied', 'received') AND at >= ? AND at < ?"
            " GROUP BY value ORDER BY n DESC, value LIMIT ?",
            [*period.bounds, _TOP],
        )
    ]
    tally.delays = _delays(history, period)
    tally.hours = _hours(history, period)
    tally.jobs = [
        (name, result, said)
        for name, result, said, _ in history.query(
            "SELECT name, json_extract(data, '$.result'), json_extract(data, '$.said'), max(at)"
            " FROM events WHERE event = 'job' AND at >= ? AND at < ? GROUP BY 1, 2 ORDER BY 1, 2",
            period.bounds,
        )
    ]
    tally.troubles = _top(history, "name", "trouble", period)
    return tally


def days(history: History, last: datetime, number: int) -> list[tuple[datetime, int, int]]:
    """(day, good, bad) for ``number`` days up to ``last``'s, the oldest first."""
    found = []
    for back in range(number - 1, -1, -1):
        begin = midnight(last - timedelta(days=back))
        end = midnight(begin + timedelta(days=1, hours=12))  # a day may have 23 or 25 hours
        verdicts = dict(_pairs(history, "SELECT verdict, count(*)", "judged", Period(begin, end)))
        bad = sum(verdicts.get(verdict, 0) for verdict in BAD)
        found.append((begin, sum(verdicts.values()) - bad, bad))
    return found


def midnight(moment: datetime) -> datetime:
    """The beginning of its day, in the local zone."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None).astimezone()


def _pairs(history: History, select: str, event: str, period: Period) -> Iterable[tuple[str, int]]:
    """Pairs of text and count, by the first column of a statement of ours."""
    for word, number in history.query(
        f"{select} FROM events WHERE event = ? AND at >= ? AND at < ? GROUP BY 1",
        [event, *period.bounds],
    ):
        yield word or "", number


def _top(
    history: History, column: str, event: str, period: Period, also: str = ""
) -> list[tuple[str, int]]:
    """The most frequent values of a column; names of columns and ``also`` are ours."""
    found = history.query(
        f"SELECT {column}, count(*) AS n FROM events"  # noqa: S608 - the words put in are ours
        f" WHERE event = ? AND at >= ? AND at < ? {also}"
        f" GROUP BY {column} ORDER BY n DESC, {column} LIMIT ?",
        [event, *period.bounds, _TOP],
    )
    return [(value or "", number) for value, number in found]


def _top_recipients(history: History, period: Period) -> list[tuple[str, int]]:
    """Of mail that was bad: a message counts for each of its recipients."""
    counts: dict[str, int] = {}
    for (text,) in history.query(
        "SELECT recipients FROM events"
        " WHERE event = 'judged' AND at >= ? AND at < ? AND verdict <> 'clean'",
        period.bounds,
    ):
        for recipient in (text or "").split("\n"):
            if recipient:
                counts[recipient] = counts.get(recipient, 0) + 1
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_TOP]


def _delays(history: History, period: Period) -> tuple[float, ...]:
    found = sorted(
        seconds
        for (seconds,) in history.query(
            "SELECT seconds FROM events"
            " WHERE event = 'forwarded' AND at >= ? AND at < ? AND seconds IS NOT NULL",
            period.bounds,
        )
    )
    return percentiles(found, _PERCENT)


def percentiles(ordered: Sequence[float], percents: Sequence[int]) -> tuple[float, ...]:
    """By nearest rank: the least value that so many percent do not exceed; () of nothing."""
    if not ordered:
        return ()
    return tuple(ordered[max(0, -(-len(ordered) * percent // 100) - 1)] for percent in percents)


def _hours(history: History, period: Period) -> list[tuple[int, int]]:
    begin, end = period.bounds
    hours = [[0, 0] for _ in range(max(1, round((end - begin) / 3600)))]
    for hour, bad, number in history.query(
        "SELECT CAST((at - ?) / 3600 AS INTEGER) AS hour, verdict <> 'clean', count(*) FROM events"
        " WHERE event = 'judged' AND at >= ? AND at < ? GROUP BY 1, 2",
        [begin, begin, end],
    ):
        hours[min(hour, len(hours) - 1)][bad] += number
    return [(good, bad) for good, bad in hours]
