"""When messages cannot be judged: rest between attempts, tell the administrator, once.

A scanner that is down, a full disk: whatever is temporary and not one message's own fault.  Told
in the log at once, and by a notice when it lasts; over with the first message that the engines
answered for (harmless mail, which they are not asked about, only ends the rest).  A message that
fails again although they answered for another meanwhile is at fault itself, and nobody rests for
it.  Thread-safe.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime
from typing import Final

from spoolscan import log
from spoolscan.config import Config
from spoolscan.errors import SpoolscanError
from spoolscan.notices import Notifier

_REMEMBERED: Final = 1000  # messages that failed; the oldest is forgotten, and fails as if anew


class Trouble:
    """Monotonic times only: the wall clock may jump."""

    def __init__(self, notifier: Notifier, config: Config, incoming: str) -> None:
        self._notifier = notifier
        self._config = config
        self._incoming = incoming
        self._lock = threading.Lock()
        self._since: float | None = None
        self._began = datetime.now(UTC)
        self._until = 0.0
        self._told = False
        self._answered = 0  # messages that the engines answered for
        self._failed: dict[str, int] = {}  # queue id -> how many were answered for by then

    def rest(self) -> float:
        """Seconds until the next attempt is worth while; 0 for now."""
        with self._lock:
            return max(self._until - time.monotonic(), 0.0) if self._since is not None else 0.0

    def met(self, queue_id: str, reason: str) -> bool:
        """One attempt failed for a reason that may pass.  True where it is the message's own."""
        with self._lock:
            own = self._is_own(queue_id)
            tell = not own and self._goes_on()
        log.event("scanner", queue_id, logging.WARNING, event="trouble", name=reason, own=own)
        if tell and self._config.notices.administrator:
            self._tell(queue_id, reason)
        return own

    def over(self, queue_id: str, *, engines_answered: bool) -> None:
        """A message was judged."""
        with self._lock:
            self._failed.pop(queue_id, None)
            self._until = 0.0
            if not engines_answered:
                return
            self._answered += 1
            lasted = None if self._since is None else time.monotonic() - self._since
            self._since = None
        if lasted is not None:
            log.event("scanner", "-", event="recovered", after=f"{lasted:.1f}s")

    def _is_own(self, queue_id: str) -> bool:
        """Whether it failed before, and others did not.  Remembers it; "-" is no message."""
        if queue_id == "-":
            return False
        before = self._failed.pop(queue_id, self._answered)
        self._failed[queue_id] = self._answered
        if len(self._failed) > _REMEMBERED:
            del self._failed[next(iter(self._failed))]
        return before != self._answered

    def _goes_on(self) -> bool:
        """Everybody rests; whether it has lasted long enough to be told now."""
        now = time.monotonic()
        if self._since is None:
            self._since, self._began, self._told = now, datetime.now(UTC), False
        self._until = now + self._config.scanner.retry
        tell = not self._told and now - self._since >= self._config.notices.trouble
        self._told |= tell
        return tell

    def _tell(self, queue_id: str, reason: str) -> None:
        try:
            self._notifier.send(
                "trouble.txt",
                self._config.site.administrator,
                reason=reason,
                since=self._began.strftime("%Y-%m-%d %H:%M:%S UTC"),
                incoming=self._incoming,
                id=queue_id,
            )
        except SpoolscanError as error:
            log.event("scanner", "-", logging.ERROR, event="notice-failed", error=error)
