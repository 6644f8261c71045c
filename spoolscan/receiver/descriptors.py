"""File descriptors for as many connections as the settings allow.

Most systems begin a process with 1024 of them and let it have more for the asking.
"""

from __future__ import annotations

import logging
import resource
from typing import Final

from spoolscan import log

_EACH: Final = 2  # a socket, and a draft in tmp/
_OURS: Final = 100


def provide(connections: int) -> None:
    """Ask for what they take; says in the log where the system gives less."""
    wanted = connections * _EACH + _OURS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited or soft >= wanted:
        return
    granted = wanted if hard == unlimited else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, granted), hard))
    if granted < wanted:
        reason = f"{granted} file descriptors for {connections} connections; ulimit -Hn gives more"
        log.event("receiver", "-", logging.WARNING, event="few-descriptors", reason=reason)
