"""The receiver as a stage of `spoolscan.stage`."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Final

from spoolscan import log
from spoolscan.config import Config
from spoolscan.errors import SpoolscanError
from spoolscan.ready import notify
from spoolscan.receiver import mailboxes
from spoolscan.receiver.judge import Judge, make
from spoolscan.receiver.server import Receiver
from spoolscan.spool import Spool

_GRACE: Final = 20.0  # seconds a message under way has to end; whoever stops us waits 30 for us


class Receiving:
    """One receiver for all lives: at a reload it listens on, and nobody is sent away."""

    def __init__(self) -> None:
        self._receiver: Receiver | None = None
        self._checked: mailboxes.Checked | None = None

    async def live(self, settings: Config, spool: Spool, end: asyncio.Event) -> None:
        """Receive until ``end``.  Raises ConfigError, TemporaryFailure where it cannot begin."""
        if self._receiver is None:
            judge = self._judge(settings)
            self._receiver = Receiver(settings.site, settings.receiver, spool, judge)
            await self._receiver.start()
            notify("READY=1")
        else:
            self._reload(self._receiver, settings)
        await end.wait()

    def _reload(self, receiver: Receiver, settings: Config) -> None:
        before = self._checked
        try:
            receiver.reload(settings.site, settings.receiver, self._judge(settings))
        except SpoolscanError as error:
            self._checked, before = before, self._checked
            log.event("receiver", "-", logging.ERROR, event="not-reloaded", reason=error)
        if before is not None and before is not self._checked:
            before.close()

    def _judge(self, settings: Config) -> Judge:
        """With a link that asks who exists, where the settings say so.  Raises ConfigError."""
        judge = make(settings)
        self._checked = mailboxes.make(settings)
        return judge if self._checked is None else replace(judge, links=(self._checked,))

    async def close(self) -> None:
        """Let messages under way end."""
        if self._receiver is not None:
            await self._receiver.stop(_GRACE)
        if self._checked is not None:
            self._checked.close()
