"""One escaped line an event: ``queue-id: key=value key=value``.

Nothing a peer sent reaches the line as it is: every byte that is not printable ASCII is escaped,
values with spaces are quoted, and each is cut at 200 characters.  Goes to the stdlib logger
``spoolscan.STAGE``; `setup` sends that to standard error, where journald or syslog takes it.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Final

_LONGEST: Final = 200
_PLAIN: Final = re.compile(r"[!#-\[\]-~]+")


def quote(value: object) -> str:
    """A value as it may stand in a log line or on a terminal: one word of printable ASCII."""
    text = str(value)
    if len(text) > _LONGEST:
        text = text[: _LONGEST - 3] + "..."
    if _PLAIN.fullmatch(text):
        return text
    return '"' + text.encode("unicode_escape").decode("ascii").replace('"', r"\x22") + '"'


def event(stage: str, queue_id: str = "-", level: int = logging.INFO, /, **values: object) -> None:
    """Write one event of a stage.  ``queue_id`` is "-" for what is of no single message."""
    logger = logging.getLogger(f"spoolscan.{stage}")
    if logger.isEnabledFor(level):
        words = " ".join(f"{key}={quote(value)}" for key, value in values.items())
        logger.log(level, "%s: %s", queue_id, words)


def setup(stage: str, level: str = "info") -> None:
    """Send events to standard error.  With a terminal or journald there the time is not ours."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(f"spoolscan/{stage}[%(process)d]: %(message)s"))
    root = logging.getLogger("spoolscan")
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    root.propagate = False
