"""etc/routes as it is now, for who sends and who asks by it: read again when it was edited."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, TypeAlias

from spoolscan import log
from spoolscan.config import Config
from spoolscan.errors import ConfigError
from spoolscan.livefile import LiveFile
from spoolscan.nexthop.table import Table

Routes: TypeAlias = LiveFile[Table]
_LARGEST: Final = 16 * 1024 * 1024  # bytes


def routes(settings: Config, check: Callable[[str], object], stage: str) -> Routes:
    """The table of a spool.  ``check`` raises ConfigError for a bad URL.

    Raises ConfigError.  A later edit that is bad is logged as ``stage``'s, a line each mistake; the
    table before stays in force.
    """

    def parse(content: bytes, path: str) -> Table:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: not UTF-8: {error}") from error
        return Table.parse(text, path, settings.next_hop, check)

    def kept(problem: ConfigError) -> None:
        for line in str(problem).split("\n"):
            log.event(stage, "-", logging.ERROR, event="routes-kept", reason=line)

    named = "routes" in settings.forwarder.model_fields_set
    path = str(settings.path(settings.forwarder.routes))
    return LiveFile(path, parse, kept, _LARGEST, absent=None if named else b"")
