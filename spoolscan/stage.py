"""What every stage is around its work: settings, the stage's lock, and signals.

SIGTERM and SIGINT ask the work to end cleanly.  SIGHUP reads the settings again: when they are
good, the work ends and begins anew with them, in the same process and under the same lock; when
they are not, that is logged and the old ones stay in force.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from spoolscan import config, log
from spoolscan.errors import ConfigError
from spoolscan.ready import notify
from spoolscan.spool import Spool

Work = Callable[[config.Config, Spool, asyncio.Event], Awaitable[None]]
"""One life of a stage: ends when the event is set, or by itself when there is nothing to do."""

_ORDERS: Final = {signal.SIGTERM: "stop", signal.SIGINT: "stop", signal.SIGHUP: "reload"}


def live(name: str, root: Path, work: Work) -> None:
    """Run a stage to its end.  Raises ConfigError, TemporaryFailure."""
    log.setup(name)
    settings = config.load(root)
    spool = Spool(root)
    spool.check()
    with spool.lock(name):
        spool.sweep()
        asyncio.run(_lives(name, settings, spool, work))


async def _lives(name: str, settings: config.Config | None, spool: Spool, work: Work) -> None:
    orders: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number, order in _ORDERS.items():
        loop.add_signal_handler(number, orders.put_nowait, order)
    while settings is not None:
        end = asyncio.Event()
        coming = asyncio.create_task(_next_settings(name, orders, spool))
        coming.add_done_callback(lambda _, end=end: end.set())  # type: ignore[misc]
        try:
            await work(settings, spool, end)
            settings = coming.result() if coming.done() else None
        finally:
            coming.cancel()
    notify("STOPPING=1")


async def _next_settings(
    name: str, orders: asyncio.Queue[str], spool: Spool
) -> config.Config | None:
    """What the next life of the stage goes by; None when there is to be none."""
    while await orders.get() != "stop":
        try:
            settings = config.load(spool.root)
        except ConfigError as error:
            log.event(name, "-", logging.ERROR, event="not-reloaded", reason=error)
        else:
            log.event(name, event="reloaded")
            return settings
    return None
