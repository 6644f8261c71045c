"""A worker process: reads hostile mail for the daemon and holds nothing that matters.

Gets a descriptor to a message over its socket (`wire`), answers with the Report and, where the
message will be set aside, with its decoded parts as memory descriptors.  Ends when the daemon
does: the end of the socket is its order to go.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from spoolscan import log
from spoolscan.config import Config
from spoolscan.errors import SpoolscanError, TemporaryFailure
from spoolscan.scanner import wire
from spoolscan.scanner.inspect import Inspection, inspect
from spoolscan.scanner.toolbox import Toolbox
from spoolscan.verdict import Cause, Doubt, Finding, Report, Verdict


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
    """Say that we are ready, then answer questions until the daemon is gone."""
    wire.send(peer, {"ready": os.getpid()})
    while (frame := wire.receive(peer)) is not None:
        question, (descriptor,) = frame
        # A reader that loops for ever in C is beyond any Python deadline; this is not.
        signal.alarm(int(config.scanner.timeout) + 5)
        try:
            size = int(question["size"])
            if size > config.bounds.decoded_bytes:  # put here by hand: the receiver takes no such
                inspection = _too_large(config.bounds.decoded_bytes)
            else:
                data = _read(descriptor, int(question["offset"]), size)
                inspection = inspect(data, toolbox.tools(frozenset(question["out"])))
        except TemporaryFailure as failure:
            wire.send(peer, {"failure": str(failure)})
        else:
            _send(peer, inspection)
        finally:
            os.close(descriptor)
            signal.alarm(0)


def _too_large(most: int) -> Inspection:
    """Nobody's memory is that large."""
    doubt = Doubt(Cause.LIMIT, f"a message of more than {most} bytes")
    return Inspection(Report(findings=[Finding.of_doubt(doubt, ())]))


def _read(descriptor: int, offset: int, size: int) -> bytes:
    data = os.pread(descriptor, size, offset)
    while len(data) < size:
        piece = os.pread(descriptor, size - len(data), offset + len(data))
        if not piece:
            raise TemporaryFailure("the message was cut while it was read")
        data += piece
    return data


def _send(peer: socket.socket, inspection: Inspection) -> None:
    report = inspection.report
    shown = inspection.samples[: wire.MOST_DESCRIPTORS] if report.verdict > Verdict.CLEAN else []
    descriptors: list[int] = []
    try:
        for sample in shown:
            descriptors.append(os.memfd_create("part", os.MFD_CLOEXEC))
            with open(descriptors[-1], "wb", closefd=False) as file:
                file.write(sample.data)
        answer = {"report": report.as_dict(), "paths": [sample.path for sample in shown]}
        wire.send(peer, answer, descriptors)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
