"""The forwarder as a stage of `spoolscan.stage`."""

from __future__ import annotations

import asyncio

from spoolscan.config import Config
from spoolscan.forwarder.connection import Timeouts
from spoolscan.forwarder.daemon import Forwarder, ForwarderSettings
from spoolscan.forwarder.schedule import Retries
from spoolscan.notices import Templates
from spoolscan.ready import notify
from spoolscan.spool import Spool


def make(settings: Config, spool: Spool) -> Forwarder:
    """A forwarder that has opened nothing yet.  Raises ConfigError."""
    own = settings.forwarder
    return Forwarder(
        ForwarderSettings(
            next_hop=settings.next_hop,
            hostname=settings.site.hostname,
            mark=own.mark,
            concurrency=own.concurrency,
            retries=Retries(**own.retries.model_dump()),
            timeouts=Timeouts(**own.timeouts.model_dump()),
            idle=own.idle,
            messages=own.messages,
            recipients=own.recipients,
            grace=own.grace,
        ),
        spool,
        Templates(settings.template_folders()),
    )


class Forwarding:
    """One life after the other; with ``once`` one that ends when nothing is due."""

    def __init__(self, *, once: bool = False) -> None:
        self._once = once

    async def live(self, settings: Config, spool: Spool, end: asyncio.Event) -> None:
        forwarder = make(settings, spool)
        if self._once:
            await forwarder.run_once()
            return
        notify("READY=1")
        await forwarder.run(end)

    async def close(self) -> None:
        """Each life has cleaned up after itself."""
