"""The scanner as a stage of `spoolscan.stage`."""

from __future__ import annotations

import asyncio

from spoolscan.config import Config
from spoolscan.ready import notify
from spoolscan.spool import Spool


class Scanning:
    """One life after the other; with ``once`` one that ends when nothing is due."""

    def __init__(self, *, once: bool = False) -> None:
        self._once = once

    async def live(self, settings: Config, spool: Spool, end: asyncio.Event) -> None:
        if self._once and not any(map(spool.names, ("incoming", "scanning"))):
            return  # nothing is there to load engines for
        from spoolscan.scanner.daemon import Scanner  # noqa: PLC0415 - slow to load

        scanner = Scanner(spool, settings)
        await scanner.run(end, once=self._once, ready=lambda: notify("READY=1"))

    async def close(self) -> None:
        """Each life has cleaned up after itself."""
