"""A worker process: has hostile mail read for the daemon, and holds nothing that matters.

It is two halves.  This one, the open half, forked from the `nursery`, keeps the settings and the
engines, and never sees a message; the locked half (`inside`), forked from it, reads messages and
can do nothing else.  The daemon has a socket to each: over that of the locked half go messages and
Reports; over ours the daemon asks, once a second while there is mail, whether all is as it was:

================================  ================================================================
it says                           we answer
================================  ================================================================
(at first)                        pid: ours, with a descriptor of this process; then
                                  room: its measures, with a socket for questions
out: engines that are not to be   nothing; or, where that, a pattern, a rule or the room is
asked; worn: the room is old      another one from here on, room and socket as above
================================  ================================================================

A locked half that dies takes the worker with it, and the worker's end is its end.  The end of the
daemon's socket is the order to go.
"""

from __future__ import annotations

import os
import select
import socket
from typing import Final

from spoolscan import log
from spoolscan.config import Config
from spoolscan.errors import SpoolscanError
from spoolscan.scanner import room, wire
from spoolscan.scanner.broker import Broker
from spoolscan.scanner.inspect import Tools
from spoolscan.scanner.toolbox import Toolbox

_SCRATCH: Final = 4  # times what a message may decode to: it, what is made of it, and to spare


def main(peer: socket.socket, toolbox: Toolbox, config: Config) -> int:
    """The life of the process; returns the exit status."""
    try:
        _introduce(peer)
    except ConnectionError:
        return 0  # nobody wants a worker any more
    try:
        serve(peer, toolbox, config)
    except SpoolscanError as error:
        log.event("worker", event="not-started", error=error)
        return error.exit_status
    except Exception as error:
        # It costs the message an attempt, and the next one gets a worker that is not confused.
        log.failure("worker", "-", error)
        return os.EX_SOFTWARE
    return 0


def _introduce(peer: socket.socket) -> None:
    """By a descriptor that means us and nobody else; the daemon is not our parent.

    Raises OSError.
    """
    descriptor = os.pidfd_open(os.getpid())
    try:
        wire.send(peer, {"pid": os.getpid()}, [descriptor])
    finally:
        os.close(descriptor)


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
