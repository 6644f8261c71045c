"""What every stage is around its work: settings, the stage's lock, and signals.

SIGTERM and SIGINT ask the work to end cleanly.  SIGHUP reads the settings again: when they are
good, the work ends and begins anew with them, in the same process and under the same lock; when
they are not, or the work cannot begin with them, that is logged and it goes on with the old ones.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from spoolscan import config, journal, log
from spoolscan.errors import ConfigError
from spoolscan.journal import Journal
from spoolscan.ready import notify
from spoolscan.settled import settle
from spoolscan.spool import Spool


class Work(Protocol):
    """What a stage does."""

    async def live(self, settings: config.Config, spool: Spool, end: asyncio.Event) -> None:
        """One life: ends when the event is set, or by itself when there is nothing to do."""

    async def close(self) -> None:
        """The last one is over, or failed."""


_ORDERS: Final = {signal.SIGTERM: "stop", signal.SIGINT: "stop", signal.SIGHUP: "reload"}


def live(name: str, root: Path, work: Work, *, once: bool = False) -> None:
    """Run a stage to its end: with ``once``, soon.  Raises ConfigError, TemporaryFailure."""
    log.setup(name)
    settings = config.load(root)
    log.send(name, settings.log.to)
    spool = Spool(root)
    spool.check()
    check_owner(root)
    with spool.lock(name), journaled(settings):
        spool.sweep()
        if not once:
            settle()
        asyncio.run(_lives(name, settings, spool, work))


@contextmanager
def journaled(settings: config.Config) -> Iterator[None]:
    """What is logged meanwhile is written down too."""
    if not settings.journal.enabled:
        yield
        return
    writing = Journal(settings.path(journal.FILE))
    log.listen(writing)
    try:
        yield
    finally:
        writing.close()


def check_owner(root: Path) -> None:
    """Raises ConfigError where the spool is another user's.

    What we wrote there, root above all, that user's stages could not read.
    """
    try:
        owner, us = root.stat().st_uid, os.geteuid()
    except OSError as error:
        raise ConfigError(f"{root}: {error.strerror}") from error
    if owner != us:
        raise ConfigError(
            f"{root}: belongs to {_user(owner)}, and this is {_user(us)}; run it as"
            f" {_user(owner)} (runuser -u {_user(owner)} -- ...), or chown -R the directory"
        )


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"uid {number}"


async def _lives(name: str, settings: config.Config | None, spool: Spool, work: Work) -> None:
    """One life after the other; where one cannot begin, again that of the settings before."""
    orders: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number, order in _ORDERS.items():
        loop.add_signal_handler(number, orders.put_nowait, order)
    proven: config.Config | None = None
    try:
        while settings is not None:
            try:
                coming = await _one_life(name, settings, spool, work, orders)
            except ConfigError as error:
                if proven is None:
                    raise
                log.event(name, "-", logging.ERROR, event="not-reloaded", reason=error)
                settings, proven = proven, None
            else:
                settings, proven = coming, settings
        notify("STOPPING=1")
    finally:
        await work.close()


async def _one_life(
    name: str, settings: config.Config, spool: Spool, work: Work, orders: asyncio.Queue[str]
) -> config.Config | None:
    """Returns what the next one goes by; None when there is to be none.  Raises ConfigError."""
    end = asyncio.Event()
    coming = asyncio.create_task(_next_settings(name, orders, spool))
    coming.add_done_callback(lambda _: end.set())
    try:
        await work.live(settings, spool, end)
        return coming.result() if coming.done() else None
    except ConfigError:
        if coming.done():  # an order that came meanwhile is for the next life
            orders.put_nowait("stop" if coming.result() is None else "reload")
        raise
    finally:
        coming.cancel()


async def _next_settings(
    name: str, orders: asyncio.Queue[str], spool: Spool
) -> config.Config | None:
    """Waits for orders; None for the order to stop."""
    while await orders.get() != "stop":
        try:
            settings = config.load(spool.root)
        except ConfigError as error:
            log.event(name, "-", logging.ERROR, event="not-reloaded", reason=error)
        else:
            log.event(name, event="reloaded")
            return settings
    return None
