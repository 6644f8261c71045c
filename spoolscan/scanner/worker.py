"""A worker process: has hostile mail read for the daemon, and holds nothing that matters.

It is two halves.  This one, the open half, keeps the settings and the engines, and never sees a
message; the locked half (`inside`), forked from it, reads messages and can do nothing else.  The
daemon has a socket to each: over that of the locked half go messages and Reports; over ours the
daemon asks, once a second while there is mail, whether all is as it was:

================================  ================================================================
it says                           we answer
================================  ================================================================
root, settings: what we go by     room: its measures, with a socket for questions
out: engines that are not to be   nothing; or, where that, a pattern, a rule or the room is
asked; worn: the room is old      another one from here on, room and socket as above
================================  ================================================================

A locked half that dies takes the worker with it, and the worker's end is its end.  The end of the
daemon's socket is the order to go.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from spoolscan import log
from spoolscan.config import Config
from spoolscan.errors import SpoolscanError
from spoolscan.scanner import room, wire
from spoolscan.scanner.broker import Broker
from spoolscan.scanner.inspect import Tools
from spoolscan.scanner.toolbox import Toolbox

_SCRATCH: Final = 4  # times what a message may decode to: it, what is made of it, and to spare


def main(arguments: Sequence[str]) -> int:
    """``DESCRIPTOR`` of the socket; returns the exit status."""
    (number,) = arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the daemon's to handle
    log.setup("worker")
    with socket.socket(fileno=int(number)) as peer:
        try:
            config = _settings(peer)
            serve(peer, Toolbox(config), config)
        except SpoolscanError as error:
            log.event("worker", event="not-started", error=error)
            return error.exit_status
        except Exception as error:
            # It costs the message an attempt, and the next one gets a worker that is not confused.
            log.failure("worker", "-", error)
            return os.EX_SOFTWARE
    return 0


def _settings(peer: socket.socket) -> Config:
    """The first frame: the settings that the daemon goes by."""
    frame = wire.receive(peer)
    if frame is None:
        raise wire.Broken("the daemon ended")
    return Config(root=Path(frame[0]["root"]), **frame[0]["settings"])


def serve(peer: socket.socket, toolbox: Toolbox, config: Config) -> None:
    """Say that we are ready, then keep a room until the daemon is gone."""
    engines = {engine.name: engine for engine in toolbox.engines}

    def furnished(tools: Tools) -> Broker:
        made = Broker(tools, engines, plan_of(config), scratch_size(config))
        measures = [measure.as_dict() for measure in made.measures]
        wire.send(peer, {"room": measures}, [made.questions.fileno()])
        made.questions.close()  # the daemon has it, and is to hear of the room's end
        return made

    broker = furnished(toolbox.tools())
    try:
        while True:
            both: list[socket.socket | Broker] = [peer, broker]
            waiting, _, _ = select.select(both, [], [])
            if broker in waiting:
                broker.serve()
            elif (frame := wire.receive(peer)) is None:
                break
            elif toolbox.renew(frozenset(frame[0]["out"])) or frame[0]["worn"]:
                broker.stop()
                broker = furnished(toolbox.tools(frozenset(frame[0]["out"])))
            else:
                wire.send(peer, {})
    finally:
        broker.stop()


def scratch_size(config: Config) -> int:
    """Bytes; of which only what is written takes memory."""
    return _SCRATCH * config.bounds.decoded_bytes


def plan_of(config: Config) -> room.Plan | None:
    """How the locked half is to be locked up; None where it is not."""
    scanner = config.scanner
    if scanner.room == "off":
        return None
    return room.Plan(scanner.user, scanner.memory, scratch_size(config))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
