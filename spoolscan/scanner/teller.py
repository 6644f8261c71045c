"""Tells people what became of messages: each once, and in an outbreak only the first few.

Used by the threads of the daemon at the same time.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime, timedelta

from spoolscan import log
from spoolscan.config import Notices
from spoolscan.errors import SpoolscanError
from spoolscan.notices import Notifier
from spoolscan.scanner.outbreak import Counted, Outbreak


class Teller:
    """One for the daemon."""

    def __init__(self, settings: Notices, notifier: Notifier) -> None:
        self._notifier = notifier
        self._outbreak = Outbreak(settings.burst, settings.window)
        self._lock = threading.Lock()
        self._told: set[tuple[str, str, str]] = set()  # of those that were not yet moved

    def tell(
        self, queue_id: str, template: str, reader: str, name: str, values: dict[str, object]
    ) -> None:
        """Once a message: it may come here again and again while the disk is full, say.

        ``name`` is what it is counted under.  Raises ConfigError, TemporaryFailure.
        """
        told = (queue_id, template, reader)
        with self._lock:
            if told in self._told:
                return
            admitted = self._outbreak.admits(template, reader, name, time.monotonic())
        if admitted:
            self._notifier.send(template, reader, **values)
        with self._lock:
            self._told.add(told)

    def done(self, queue_id: str) -> None:
        """It is where it belongs, and will not come again."""
        with self._lock:
            self._told -= {told for told in self._told if told[0] == queue_id}

    def pause(self) -> float | None:
        """How long until `tell_counted` has something to tell (seconds); None for never yet."""
        with self._lock:
            left = self._outbreak.next(time.monotonic())
        return None if left is None else max(left, 0.0)

    def tell_counted(self, *, all_of_them: bool = False) -> float | None:
        """Send what was only counted; how long until there is more to tell (seconds).

        With ``all_of_them`` also of windows that have not ended.  Never raises a SpoolscanError.
        """
        now = time.monotonic()
        with self._lock:
            counted = self._outbreak.over(now, all_of_them=all_of_them)
            pause = self._outbreak.next(now)
        for many in counted:
            self._send(many, datetime.now(UTC) - timedelta(seconds=now - many.since))
        return pause

    def _send(self, many: Counted, since: datetime) -> None:
        try:
            self._notifier.send(
                "many.txt",
                many.reader,
                total=many.total,
                since=since.strftime("%Y-%m-%d %H:%M:%S UTC"),
                names=many.names.most_common(),
            )
        except SpoolscanError as error:
            reason = f"{many.total} counted for {many.reader}: {error}"
            log.event("scanner", "-", logging.ERROR, event="notice-failed", error=reason)
