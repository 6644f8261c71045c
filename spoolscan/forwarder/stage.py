"""The forwarder as a stage of `spoolscan.stage`."""

from __future__ import annotations

import asyncio

from spoolscan.config import Config
from spoolscan.forwarder.daemon import Forwarder
from spoolscan.notices import Templates
from spoolscan.ready import notify
from spoolscan.spool import Spool


class Forwarding:
    """One life after the other; with ``once`` one that ends when nothing is due."""

    def __init__(self, *, once: bool = False) -> None:
        self._once = once

    async def live(self, settings: Config, spool: Spool, end: asyncio.Event) -> None:
        forwarder = Forwarder(settings, spool, Templates(settings.template_folders()))
        if self._once:
            await forwarder.run_once()
            return
        notify("READY=1")
        await forwarder.run(end)

    async def close(self) -> None:
        """Each life has cleaned up after itself."""
