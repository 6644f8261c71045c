"""One escaped line an event: ``queue-id: key=value key=value``.

Nothing a peer sent reaches the line as it is: every byte that is not printable ASCII is escaped,
values with spaces are quoted, and each is cut at 200 characters.  Goes to the stdlib logger
``spoolscan.STAGE``; `setup` sends that to standard error, where journald or syslog takes it.

`safe` is for what people read elsewhere, a terminal or a mail: letters of any script stay letters.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Final

_SYSLOG: Final = "/dev/log"
_LONGEST: Final = 200
_DEEPEST: Final = 6  # frames of a failure that are named
_PLAIN: Final = re.compile(r"[!#-\[\]-~]+")
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Event:
    """What the record of a log line carries as ``happened``: the values as they were said."""

    stage: str
    queue_id: str
    values: Mapping[str, object]
    detail: Mapping[str, Any]


def quote(value: object) -> str:
    """A value as it may stand in a log line or on a terminal: one word of printable ASCII."""
    text = str(value)
    if len(text) > _LONGEST:
        text = text[: _LONGEST - 3] + "..."
    if _PLAIN.fullmatch(text):
        return text
    return '"' + text.encode("unicode_escape").decode("ascii").replace('"', r"\x22") + '"'


def safe(value: object, longest: int = _LONGEST) -> str:
    """One line of printable characters, cut; bidirectional and other format controls are shown."""
    text = str(value)
    if len(text) > longest:
        text = text[: longest - 3] + "..."
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def event(
    stage: str,
    queue_id: str = "-",
    level: int = logging.INFO,
    /,
    *,
    detail: Mapping[str, Any] = _NOTHING,
    **values: object,
) -> None:
    """Write one event of a stage.  ``queue_id`` is "-" for what is of no single message.

    ``detail`` is for the journal, and not in the line.
    """
    logger = _logger(stage)
    if logger.isEnabledFor(level):
        words = " ".join(f"{key}={quote(value)}" for key, value in values.items())
        happened = Event(stage, queue_id, values, detail)
        # Not by logger.log: it looks up who called, which is us.
        record = logging.LogRecord(
            logger.name, level, __file__, 0, "%s: %s", (queue_id, words), None, "event"
        )
        record.happened = happened
        logger.handle(record)


@cache
def _logger(stage: str) -> logging.Logger:
    return logging.getLogger(f"spoolscan.{stage}")


def failure(stage: str, queue_id: str, error: Exception, /) -> None:
    """What nobody foresaw: where it happened, the innermost place last.

    In place of a traceback, whose last line is the error's own words, and those may be a peer's.
    """
    frames = traceback.extract_tb(error.__traceback__)[-_DEEPEST:]
    where = " ".join(f"{os.path.basename(frame.filename)}:{frame.lineno}" for frame in frames)
    event(stage, queue_id, logging.ERROR, event="unexpected", error=repr(error), where=where)


def setup(stage: str, level: str = "info") -> None:
    """Send events of a level on to standard error, which adds the time where it is journald's.

    The journal hears them all.
    """
    _send_to(logging.StreamHandler(sys.stderr), stage, level)


def setup_syslog(stage: str, level: str = "info", path: str = _SYSLOG) -> bool:
    """Send events to syslog, or nowhere where there is none: then it is False."""
    from logging.handlers import SysLogHandler  # noqa: PLC0415 - loads much, and few want it

    try:
        handler: logging.Handler = SysLogHandler(path, SysLogHandler.LOG_MAIL)
    except OSError:
        handler = logging.NullHandler()
    _send_to(handler, stage, level)
    return not isinstance(handler, logging.NullHandler)


def send(stage: str, to: str) -> None:
    """Where the settings want it, "stderr" or "syslog"; the first where there is no syslog."""
    if to == "syslog" and setup_syslog(stage):
        return
    setup(stage)
    if to == "syslog":
        event(stage, "-", logging.ERROR, event="no-syslog", reason="/dev/log is not there")


def _send_to(handler: logging.Handler, stage: str, level: str) -> None:
    logging.logThreads = logging.logMultiprocessing = False  # nobody reads what these look up
    handler.setFormatter(logging.Formatter(f"spoolscan/{stage}[%(process)d]: %(message)s"))
    root = logging.getLogger("spoolscan")
    root.handlers[:] = [handler]
    handler.setLevel(level.upper())
    root.setLevel(logging.INFO)
    root.propagate = False


def listen(handler: logging.Handler) -> None:
    """Let another handler have every event, beside standard error; until it is closed."""
    logging.getLogger("spoolscan").addHandler(handler)
