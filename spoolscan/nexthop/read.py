"""etc/routes as it is now: read again when it was edited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from spoolscan.config import Config
from spoolscan.errors import ConfigError
from spoolscan.livefile import LiveFile
from spoolscan.nexthop.table import Table

_LARGEST: Final = 16 * 1024 * 1024  # bytes


def routes(
    settings: Config, check: Callable[[str], object], on_problem: Callable[[ConfigError], None]
) -> LiveFile[Table]:
    """The table of a spool.  ``check`` raises ConfigError for a bad URL.

    Raises ConfigError; ``on_problem`` is told of a later edit that is bad.
    """

    def parse(content: bytes, path: str) -> Table:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: not UTF-8: {error}") from error
        return Table.parse(text, path, settings.next_hop, check)

    named = "routes" in settings.forwarder.model_fields_set
    path = str(settings.path(settings.forwarder.routes))
    return LiveFile(path, parse, on_problem, _LARGEST, absent=None if named else b"")
