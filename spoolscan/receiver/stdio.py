"""One session on standard input and output: with a peer's socket there, for inetd and for
``Accept=yes`` of systemd; with a program of this host, as ``sendmail -bs``.

Takes no lock: many of these run beside each other, and beside a receiver that listens.  A peer over
a socket gets no word of ours but SMTP, so the log goes to syslog where standard error is that same
socket.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
from pathlib import Path
from typing import Final

from spoolscan import config, log
from spoolscan.errors import ConfigError, SpoolscanError
from spoolscan.receiver.reply import Reply
from spoolscan.receiver.server import Receiver
from spoolscan.receiver.stage import judging
from spoolscan.spool import Spool
from spoolscan.stage import check_owner

_GRACE: Final = 20.0  # seconds a message under way has to end
_NOT_NOW: Final = Reply(421, "4.3.0", "cannot take mail now, try again later")


def serve(root: Path) -> None:
    """Until the peer has enough.  Raises ConfigError, TemporaryFailure, after telling it 421."""
    peer = _socket_on_stdin()
    if peer is not None and os.path.sameopenfile(0, 2):
        log.setup_syslog("smtpd")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    else:
        log.setup("smtpd")
    try:
        settings = config.load(root)
        spool = Spool(root)
        spool.check()
        check_owner(root)
        asyncio.run(_serve(settings, spool, peer))
    except SpoolscanError as error:
        log.event("receiver", event="not-started", reason=error)
        os.write(0 if peer is not None else 1, _NOT_NOW.wire())
        raise


async def _serve(settings: config.Config, spool: Spool, peer: socket.socket | None) -> None:
    judge, checked = judging(settings)
    receiver = Receiver(settings.site, settings.receiver, spool, judge)
    if peer is not None:
        serving = asyncio.create_task(receiver.serve_socket(peer))
    else:
        source, sink = os.fdopen(os.dup(0), "rb", 0), os.fdopen(os.dup(1), "wb", 0)
        serving = asyncio.create_task(receiver.serve_pipes(source, sink))
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    stopping = asyncio.create_task(told.wait())
    try:
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        await receiver.stop(_GRACE)
        if checked is not None:
            checked.close()
    try:
        await serving
    except ValueError as error:  # asyncio takes no file of a disk
        raise ConfigError("smtpd --stdio: standard input must be a socket or a pipe") from error


def _socket_on_stdin() -> socket.socket | None:
    """A peer's socket there; None for anything else."""
    if not stat.S_ISSOCK(os.fstat(0).st_mode):
        return None
    sock = socket.socket(fileno=os.dup(0))
    try:
        sock.getpeername()
    except OSError as error:
        raise ConfigError(
            "smtpd --stdio: standard input is a socket without a peer; inetd: nowait, systemd:"
            " Accept=yes"
        ) from error
    return sock
