"""The open half's end of the locked one: starts it, and does for it what it may not.

What the locked half may ask for is the whole language, and no more: an engine is named by a name
of the settings, a program by its place in a literal table, bytes by their place in the scratch.
There is no word for a path, an argument, an address or a descriptor.  Whatever else is asked, and
however the locked half ends, is `wire.Broken`.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn

from spoolscan.errors import TemporaryFailure
from spoolscan.fork import keep
from spoolscan.scanner import inside, room, wire
from spoolscan.scanner.engines import Engine, Sample
from spoolscan.scanner.inspect import Tools
from spoolscan.scanner.room.identity import die_with
from spoolscan.scanner.scratch import Full, Scratch
from spoolscan.scanner.unpack import commands, program


class Broker:
    """One locked half.  For a process with a single thread; `stop` it.

    Messages are given to it over ``questions``, by whoever is handed that socket.  Each has a
    scratch of ``size`` bytes where it needs one.  Raises Broken where it cannot be started.
    Without a ``plan`` nothing is locked.
    """

    def __init__(
        self, tools: Tools, engines: Mapping[str, Engine], plan: room.Plan | None, size: int
    ) -> None:
        self._engines = engines
        self._most = tools.bounds.decoded_bytes
        self._size = size
        self._scratch: Scratch | None = None
        inside.furnish()
        self.questions, asked = socket.socketpair()
        self._peer, theirs = socket.socketpair()
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            _enter(asked, theirs, tools, plan, parent)
        asked.close()
        theirs.close()
        self.measures = [room.Measure.from_dict(one) for one in self._heard()["room"]]

    def stop(self) -> None:
        self._done()
        self.questions.close()
        self._peer.close()
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)

    def fileno(self) -> int:
        """To be read from when the locked half wants something: then `serve`."""
        return self._peer.fileno()

    def serve(self) -> None:
        """Do the one thing that it asks for.  Raises Broken (when it has ended, too), OSError."""
        heard = self._heard()
        if "scratch" in heard:
            self._done()
            self._scratch = Scratch.make(self._size)
            wire.send(self._peer, {"scratch": self._size}, [self._scratch.descriptor])
        elif "done" in heard:
            self._done()
        elif self._scratch is None:
            raise wire.Broken("the locked half asked for what there is not: no scratch")
        else:
            wire.send(self._peer, self._served(heard, self._scratch))

    def _done(self) -> None:
        if self._scratch is not None:
            self._scratch.close()
            self._scratch = None

    def _heard(self) -> dict[str, Any]:
        frame = wire.receive(self._peer)
        if frame is None:
            _, status = os.waitpid(self._pid, 0)
            raise wire.Broken(f"the locked half died ({os.waitstatus_to_exitcode(status)})")
        content, descriptors = frame
        for descriptor in descriptors:  # it has none to give
            os.close(descriptor)
        if "broken" in content:
            raise wire.Broken(f"the locked half: {content['broken']}")
        return content

    def _served(self, asked: Mapping[str, Any], scratch: Scratch) -> dict[str, Any]:
        try:
            if "scan" in asked:
                engine = self._engines[asked["scan"]]
                samples = _samples(asked["samples"], scratch)
                return _scanned(engine, samples, time.monotonic() + float(asked["seconds"]))
            command = commands.told(asked["run"], asked["word"])
            data = _bytes(asked["place"], scratch)
            most, seconds = min(_natural(asked["most"]), self._most), float(asked["seconds"])
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            raise wire.Broken(f"the locked half asked for what there is not: {error!r}") from error
        result = program.boxed(command, data, most, seconds)
        scratch.clear()
        try:
            return {"place": scratch.put(result.output), "good": result.good}
        except Full:
            return {"place": (0, 0), "good": False}


def _scanned(engine: Engine, samples: list[Sample], deadline: float) -> dict[str, Any]:
    try:
        return {"findings": [finding.as_dict() for finding in engine.scan(samples, deadline)]}
    except TemporaryFailure as failure:
        return {"failure": str(failure)}


def _samples(places: Any, scratch: Scratch) -> list[Sample]:
    """One after the other, as they were put: the same bytes a thousand times would eat memory."""
    samples: list[Sample] = []
    end = 0
    # A number in place of the path, which is the sender's word.
    for number, (at, length) in enumerate(places):
        if _natural(at) < end:
            raise ValueError("samples that lie in one another")
        end = at + _natural(length)
        samples.append(Sample((str(number),), scratch.get(at, length)))
    return samples


def _bytes(place: Any, scratch: Scratch) -> bytes:
    at, length = place
    return scratch.get(_natural(at), _natural(length))


def _natural(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"no natural number: {value!r}")
    return value


def _enter(
    asked: socket.socket,
    peer: socket.socket,
    tools: Tools,
    plan: room.Plan | None,
    parent: int,
) -> NoReturn:
    """In the child: keep nothing but the sockets, and live there."""
    try:
        die_with(parent)
        keep(asked.fileno(), peer.fileno(), instead=(0, 1, 2))
        inside.live(asked, peer, tools, plan, parent)
    except BaseException as error:
        with suppress(OSError):
            wire.send(peer, {"broken": repr(error)})
    finally:
        os._exit(0)
