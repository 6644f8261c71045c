"""The jobs as a stage of `spoolscan.stage`: the timetable, looked at every few seconds."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from spoolscan import log
from spoolscan.config import Config
from spoolscan.errors import SpoolscanError
from spoolscan.jobs import runner, stamps
from spoolscan.jobs.stamps import Stamp
from spoolscan.jobs.table import JOBS
from spoolscan.jobs.timetable import Timetable
from spoolscan.ready import notify
from spoolscan.spool import Spool
from spoolscan.status.web import answering

_LOOK: Final = 5.0  # seconds


class Timed:
    """Runs jobs until told to end; the one under way is waited for."""

    async def live(self, settings: Config, spool: Spool, end: asyncio.Event) -> None:
        """See `stage.Work`."""

        def run(name: str) -> None:
            with suppress(SpoolscanError):  # told by then; or it is running already
                runner.run(name, JOBS[name], settings, spool)

        def stamp_of(name: str) -> Stamp:
            return stamps.read(spool, name, datetime.now(UTC).timestamp())

        timetable = Timetable(settings.jobs.times(), stamp_of, run)
        notify("READY=1")
        async with answering(settings, spool, runner.STAGE):
            await self._look(timetable, end)

    async def _look(self, timetable: Timetable, end: asyncio.Event) -> None:
        while not end.is_set():
            try:
                await asyncio.to_thread(timetable.run_due)
            except Exception as error:  # one bad day must not end all that come
                log.failure(runner.STAGE, "-", error)
                log.event(runner.STAGE, "-", logging.ERROR, event="timetable", error=error)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await end.wait()

    async def close(self) -> None:
        """Nothing is kept open."""
