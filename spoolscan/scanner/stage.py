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
        if self._once:
            count = sum(len(spool.names(state)) for state in ("incoming", "scanning"))
            if not count:
                return  # nothing is there to load engines for
            settings = _with_workers(settings, min(count, settings.worker_count()))
        from spoolscan.scanner.daemon import Scanner  # noqa: PLC0415 - slow to load

        scanner = Scanner(spool, settings)
        await scanner.run(end, once=self._once, ready=lambda: notify("READY=1"))

    async def close(self) -> None:
        """Each life has cleaned up after itself."""


def _with_workers(settings: Config, count: int) -> Config:
    """The same, but for how many are started: one that gets no message is not worth its start."""
    scanner = settings.scanner.model_copy(update={"workers": count})
    return settings.model_copy(update={"scanner": scanner})
