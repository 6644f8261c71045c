"""A worker process: has hostile mail read for the daemon, and holds nothing that matters.

It is two halves.  This one, the open half, keeps the settings, the engines and the daemon's
socket, and never looks into a message; the locked half (`inside`), forked from it, reads messages
and can do nothing else.  A message's descriptor comes from the daemon (`wire`) and goes on to the
locked half, with a fresh `Scratch`; its Report goes back, and where the message will be set aside
the scratch with its decoded parts.

When patterns or rules have changed the next message gets a new locked half.  A locked half that
dies takes the worker with it, and the worker's end is its end.  The end of the daemon's socket is
the order to go.
"""

from __future__ import annotations

import os
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
from spoolscan.scanner.scratch import Scratch
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
    """Say that we are ready, then have questions answered until the daemon is gone."""
    size = scratch_size(config)
    plan = plan_of(config)
    engines = {engine.name: engine for engine in toolbox.engines}
    broker = Broker(toolbox.tools(), engines, plan)
    try:
        measures = [measure.as_dict() for measure in broker.measures]
        wire.send(peer, {"ready": os.getpid(), "room": measures})
        while (frame := wire.receive(peer)) is not None:
            question, (message,) = frame
            # A reader that loops for ever in C is beyond any Python deadline; this is not.
            signal.alarm(int(config.scanner.timeout) + 5)
            out = frozenset(question["out"])
            if toolbox.renew(out) or broker.worn:
                broker.stop()
                broker = Broker(toolbox.tools(out), engines, plan)
            try:
                with Scratch.make(size) as scratch:
                    answer = broker.judge(question, message, scratch)
                    wire.send(peer, answer, [scratch.descriptor] if answer.get("parts") else [])
            finally:
                os.close(message)
                signal.alarm(0)
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
