"""Where workers come from: a process that has all in memory that they need, and forks them.

So that readers, patterns and rules are loaded once and not by each of them, and lie in memory once:
what is forked shares it until one writes there.  It has never seen a message, no worker talks to
it, and none needs it any more once it lives; one that died is started again for the next worker.

Its workers lie alike in memory, so a mail that a reader dies of could be sent again and again until
it has found out where what lies (Bittau et al., "Hacking Blind", 2014).  Whoever has seen a worker
die with a message in hand therefore stops the nursery, too: the next one is a program of its own.

================================  ================================================================
the daemon says                   it does
================================  ================================================================
root, settings, with one end of   forks a `worker` that goes by them, as the patterns and rules are
a socket pair                     now, and keeps that end itself; where that cannot be, it closes it
================================  ================================================================

It says nothing itself: who hears the end of the pair knows that there is no worker, and the reason
stands in the log.  The end of the daemon's socket is the order to go.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

from spoolscan import log
from spoolscan.config import Config
from spoolscan.errors import SpoolscanError
from spoolscan.fork import fork, keep, rename, shown
from spoolscan.scanner import inside, wire, worker
from spoolscan.scanner.toolbox import Toolbox
from spoolscan.settled import settle

_PLACE: Final = 3  # the descriptor of its socket, where it is a program of its own


class Nursery:
    """The daemon's end.  For any thread; started when asked, again where it died; `stop` it."""

    def __init__(self) -> None:
        self._peer: socket.socket | None = None
        self._pid = 0
        self._turn = threading.Lock()

    def fork(self, config: Config, toolbox: Toolbox) -> None:
        """Start it as a copy of this process, which has loaded most of what it needs.

        To be called before any mail was seen.  Where there are threads by now, who may have locked
        what nobody would unlock in the copy, nothing is done: it is started as a program later.
        """
        if self._peer is not None or len(os.listdir("/proc/self/task")) > 1:
            return
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._pid = fork()
            except OSError:
                ours.close()  # no memory, say: later then
                return
            if self._pid == 0:
                _enter(theirs, config, toolbox)
        self._peer = ours

    def bear(self, config: Config, theirs: socket.socket) -> None:
        """Have a worker forked that has this end of a socket pair.  Raises OSError."""
        # Ours and not the file's: what is edited there counts from the next reload.
        with self._turn:
            try:
                self._ask(config, theirs)
            except ConnectionError:  # it died
                self._end()
                self._ask(config, theirs)

    def _ask(self, config: Config, theirs: socket.socket) -> None:
        wire.send(self._started(), _request(config), [theirs.fileno()])

    def _started(self) -> socket.socket:
        """A program of its own, unless it runs."""
        if self._peer is None:
            ours, peer = socket.socketpair()
            with peer:
                try:
                    self._pid = _spawned(peer)
                except OSError:
                    ours.close()
                    raise
            self._peer = ours
        return self._peer

    def stop(self) -> None:
        """End it; workers live on."""
        with self._turn:
            self._end()

    def _end(self) -> None:
        if self._peer is None:
            return
        self._peer.close()
        self._peer = None
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)


def _spawned(peer: socket.socket) -> int:
    """The process id of a program that has this socket at `_PLACE`.  Raises OSError."""
    nothing = (os.devnull, os.O_RDWR, 0)
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "spoolscan.scanner.nursery", *shown()],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, peer.fileno(), _PLACE),
            *((os.POSIX_SPAWN_OPEN, standard, *nothing) for standard in (0, 1)),
        ],
    )


def _request(config: Config) -> dict[str, Any]:
    return {"root": str(config.root), "settings": config.model_dump(mode="json")}


# -- the process -----------------------------------------------------------------------------------


class _Kept:
    """What the next worker is given: the tools for the settings that it is to go by."""

    def __init__(self) -> None:
        self._request: dict[str, Any] | None = None
        self.config: Config
        self.toolbox: Toolbox

    def take(self, request: dict[str, Any], config: Config, toolbox: Toolbox) -> None:
        self._request, self.config, self.toolbox = request, config, toolbox

    def renew(self, request: dict[str, Any]) -> None:
        """Have them ready.  Raises ConfigError."""
        if request == self._request:
            if not self.toolbox.renew(frozenset()):
                return
        else:
            config = Config(root=Path(request["root"]), **request["settings"])
            self.take(request, config, Toolbox(config))
        # Workers share what is there now, until a collector that looks through it copies each page.
        settle()


def live(peer: socket.socket, kept: _Kept, called: Sequence[str]) -> None:
    """Fork workers until the daemon is gone, of which ps(1) shows that it is ``called`` so."""
    rename([*called, "nursery"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the daemon's to handle
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a worker ended
    inside.furnish()
    settle()
    while (frame := wire.receive(peer)) is not None:
        request, (descriptor,) = frame
        with socket.socket(fileno=descriptor) as theirs:
            try:
                kept.renew(request)
                child = os.fork()
            except SpoolscanError as error:
                log.event("worker", event="not-started", error=error)
                continue
            except Exception as error:
                log.failure("worker", "-", error)
                continue
            if child == 0:
                peer.close()
                _become(theirs, kept, [*called, "worker"])


def _become(theirs: socket.socket, kept: _Kept, called: Sequence[str]) -> NoReturn:
    """A worker."""
    status = os.EX_SOFTWARE
    try:
        rename(called)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        status = worker.main(theirs, kept.toolbox, kept.config)
    finally:
        os._exit(status)


def _enter(peer: socket.socket, config: Config, toolbox: Toolbox) -> NoReturn:
    """In a copy of the daemon: keep nothing of what it does, and live here."""
    try:
        keep(peer.fileno())
        log.setup("worker")
        toolbox.hush()
        kept = _Kept()
        kept.take(_request(config), config, toolbox)
        live(peer, kept, shown())
    except Exception as error:
        log.failure("worker", "-", error)
    finally:
        os._exit(0)


def main(called: Sequence[str]) -> int:
    """A program of its own, whose socket is at `_PLACE`; the daemon is ``called`` so."""
    log.setup("worker")
    with socket.socket(fileno=_PLACE) as peer:
        live(peer, _Kept(), called)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
