"""The same for Prometheus: gauges of what is now, counters of what the journal has since.

Counters begin at 0 with each start, which is what a counter does; each look reads only the rows
that came since the last one.  The text format is
https://prometheus.io/docs/instrumenting/exposition_formats/.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from spoolscan import __version__, journal
from spoolscan.config import Config
from spoolscan.errors import SpoolscanError
from spoolscan.journal import History
from spoolscan.status.facts import Row

Key = tuple[str, str]  # name of the series, and its labels as they are written

_HELP: Final = {
    "build_info": ("gauge", "The version that runs."),
    "stage_up": ("gauge", "Whether a stage runs."),
    "queue_messages": ("gauge", "Messages in a state of the spool."),
    "queue_oldest_seconds": ("gauge", "Age of the oldest one there."),
    "disk_free_bytes": ("gauge", "Free room on the file system of the spool."),
    "disk_free_inodes": ("gauge", "Free inodes there."),
    "job_done_timestamp_seconds": ("gauge", "When a job was done last; 0 for never."),
    "job_failures": ("gauge", "Failures of a job since then."),
    "signatures_changed_timestamp_seconds": ("gauge", "When signatures are of; 0 for not known."),
    "signatures_trouble": ("gauge", "Whether a source of signatures is in trouble."),
    "trouble": ("gauge", "How many things are not well; /health names them."),
    "events_total": ("counter", "What the journal has, by event."),
    "verdicts_total": ("counter", "Messages judged, by verdict."),
    "received_bytes_total": ("counter", "Bytes of messages received."),
    "seconds_total": ("counter", "Time that was taken, by event; from arrival for forwarded."),
}
_QUEUES: Final = ("incoming", "scanning", "outgoing", "hold", "quarantine")


class Counts:
    """What happened since it was made.  One caller at a time."""

    def __init__(self, settings: Config) -> None:
        self._path = settings.path(journal.FILE)
        self._enabled = settings.journal.enabled
        self._last: int | None = None
        self.totals: Counter[Key] = Counter()
        self.look()

    def look(self) -> None:
        """Count what came since the last look; a journal that cannot be read has nothing new."""
        if not self._enabled:
            return
        try:
            with History(self._path) as history:
                ((newest,),) = history.query("SELECT coalesce(max(rowid), 0) FROM events")
                if self._last is None:
                    self._last = newest
                elif newest < self._last:  # deleted, and begun anew
                    self._last = 0
                self._count(history, self._last, newest)
                self._last = newest
        except SpoolscanError:  # it comes with the first event
            self._last = self._last or 0

    def _count(self, history: History, after: int, newest: int) -> None:
        for event, verdict, number, size, seconds in history.query(
            "SELECT event, verdict, count(*), coalesce(sum(size), 0), coalesce(sum(seconds), 0)"
            " FROM events WHERE rowid > ? AND rowid <= ? GROUP BY 1, 2",
            [after, newest],
        ):
            self.totals["events_total", _labels(event=event)] += number
            self.totals["seconds_total", _labels(event=event)] += seconds
            if event == "judged":
                self.totals["verdicts_total", _labels(verdict=verdict or "")] += number
            elif event == "received":
                self.totals["received_bytes_total", ""] += size


def text(rows: Sequence[Row], counts: Counts) -> str:
    """The page ``/metrics``."""
    series: dict[str, list[str]] = {}
    for (name, labels), value in [*_gauges(rows), *sorted(counts.totals.items())]:
        series.setdefault(name, []).append(f"spoolscan_{name}{labels} {value:.15g}\n")
    return "".join(
        f"# HELP spoolscan_{name} {words}\n# TYPE spoolscan_{name} {kind}\n{''.join(series[name])}"
        for name, (kind, words) in _HELP.items()
        if name in series
    )


def _gauges(rows: Sequence[Row]) -> Iterator[tuple[Key, float]]:
    yield ("build_info", _labels(version=__version__)), 1
    yield ("trouble", ""), sum(bool(row.trouble) for row in rows)
    for row in rows:
        kind, _, name = row.id.partition(" ")
        numbers = row.numbers
        if kind == "stage":
            yield ("stage_up", _labels(stage=name)), numbers["up"]
        elif kind in _QUEUES and numbers:
            yield ("queue_messages", _labels(state=kind)), numbers["messages"]
            if "oldest" in numbers:
                yield ("queue_oldest_seconds", _labels(state=kind)), numbers["oldest"]
        elif kind == "disk" and numbers:
            yield ("disk_free_bytes", ""), numbers["free"]
            yield ("disk_free_inodes", ""), numbers["inodes"]
        elif kind == "job":
            yield ("job_done_timestamp_seconds", _labels(job=name)), numbers["done"]
            yield ("job_failures", _labels(job=name)), numbers["failures"]
        elif kind == "signatures" and numbers:
            changed = numbers["changed"]
            yield ("signatures_changed_timestamp_seconds", _labels(source=name)), changed
            yield ("signatures_trouble", _labels(source=name)), float(bool(row.trouble))


def _labels(**values: str) -> str:
    words = (f'{name}="{_escaped(value)}"' for name, value in values.items())
    return "{" + ",".join(words) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
