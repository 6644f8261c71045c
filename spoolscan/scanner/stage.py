"""The scanner as a stage of `spoolscan.stage`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from spoolscan.config import Config
from spoolscan.ready import notify
from spoolscan.spool import Spool

if TYPE_CHECKING:
    from spoolscan.scanner.nursery import Nursery


class Scanning:
    """One life after the other; with ``once`` one that ends when nothing is due."""

    def __init__(self, *, once: bool = False) -> None:
        self._once = once
        self._nursery: Nursery | None = None  # of all lives

    async def live(self, settings: Config, spool: Spool, end: asyncio.Event) -> None:
        if self._once:
            count = sum(len(spool.names(state)) for state in ("incoming", "scanning"))
            if not count:
                return  # nothing is there to load engines for
            settings = _with_workers(settings, min(count, settings.worker_count()))
        from spoolscan.scanner.daemon import Scanner  # noqa: PLC0415 - slow to load
        from spoolscan.scanner.nursery import Nursery  # noqa: PLC0415 - as above

        if self._nursery is None:
            self._nursery = Nursery()
        scanner = Scanner(spool, settings, self._nursery)
        await scanner.run(end, once=self._once, ready=lambda: notify("READY=1"))

    async def close(self) -> None:
        """Nobody is to be born any more."""
        if self._nursery is not None:
            self._nursery.stop()


def _with_workers(settings: Config, count: int) -> Config:
    """The same, but for how many are started: one that gets no message is not worth its start."""
    scanner = settings.scanner.model_copy(update={"workers": count})
    return settings.model_copy(update={"scanner": scanner})
