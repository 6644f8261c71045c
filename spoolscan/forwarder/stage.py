"""The forwarder as a stage of `spoolscan.stage`."""

from __future__ import annotations

import asyncio
import logging

from spoolscan import log
from spoolscan.config import Config
from spoolscan.errors import ConfigError
from spoolscan.forwarder.daemon import Forwarder
from spoolscan.forwarder.destinations import read_routes
from spoolscan.nexthop.read import Routes
from spoolscan.notices import Templates
from spoolscan.ready import notify
from spoolscan.spool import Spool


class Forwarding:
    """One life after the other; with ``once`` one that ends when nothing is due."""

    def __init__(self, *, once: bool = False) -> None:
        self._once = once
        self._routes: Routes | None = None  # those that could be used last

    async def live(self, settings: Config, spool: Spool, end: asyncio.Event) -> None:
        try:
            self._routes = read_routes(settings)
        except ConfigError as error:
            if self._routes is None:
                raise
            log.event("smtpfwdd", "-", logging.ERROR, event="not-reloaded", reason=error)
        templates = Templates(settings.template_folders())
        forwarder = Forwarder(settings, spool, templates, self._routes)
        if self._once:
            await forwarder.run_once()
            return
        notify("READY=1")
        await forwarder.run(end)

    async def close(self) -> None:
        """Each life has cleaned up after itself."""
