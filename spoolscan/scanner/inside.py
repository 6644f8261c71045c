"""The locked half of a worker: reads hostile mail, and can do nothing else.

It is forked from the other half with everything it needs in memory, and locks itself up (`room`)
before the first message.  Each question of the daemon is a message, as a descriptor to read; the
answers go back in the same order.  ``back: N`` takes the last N questions back: those not yet begun
are answered unread, for nobody hears it.  What cannot be done in here it asks the other half for
(see `broker`), over a socket of its own, and that is all it can ask for:

==========================================  ==================================================
question                                    answer
==========================================  ==================================================
scratch                                     a new `Scratch`, to hand bytes over in
done                                        none: the scratch is not needed any more
scan: an engine's name, places of samples,  findings, or the failure
seconds
run: the number of a command, a word to     a place of what it wrote, and whether all was well
fill in, a place, most bytes, seconds
==========================================  ==================================================

A place is an offset and a length in the scratch.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from spoolscan.errors import TemporaryFailure
from spoolscan.scanner import room, wire, words
from spoolscan.scanner.engines import Sample
from spoolscan.scanner.engines.remote import apart, is_embedded
from spoolscan.scanner.inspect import Inspection, Tools, inspect
from spoolscan.scanner.scratch import Full, Scratch
from spoolscan.scanner.unpack import capabilities, commands, library, office, program
from spoolscan.settled import settle
from spoolscan.verdict import Cause, Doubt, Finding, Report, Verdict

_WARM_UP = (Sample((), b""),)
_LONGEST = 86400.0  # seconds: no deadline at all


@cache
def furnish() -> None:
    """Load what reading would load from files while it reads.  Before the fork, for all rooms."""
    words.load()
    library.load()
    office.load()
    capabilities()
    # Both halves share what is there now, until a collector that looks through it copies each page.
    settle()


def live(
    questions: socket.socket,
    peer: socket.socket,
    tools: Tools,
    plan: room.Plan | None,
    parent: int,
) -> None:
    """The life of the process: lock up, say how to ``peer``, judge what comes as ``questions``.

    It ends with ``parent``, and when nobody can ask any more.  Without a ``plan`` it is not
    locked.  Raises whatever goes wrong: it is to be told, and the process to end.
    """
    there = frozenset(filter(program.is_there, commands.PROGRAMS))
    outside = _Outside(peer)
    program.through(outside.run, there.__contains__)
    asked = [*tools.engines, *tools.backups]
    embedded = [engine for engine in asked if is_embedded(engine)]
    tools = replace(
        tools,
        engines=apart(tools.engines, outside.scan),
        backups=apart(tools.backups, outside.scan),
    )

    def start_threads() -> None:
        for engine in embedded:
            engine.scan(_WARM_UP)

    measures = [] if plan is None else room.lock(plan, parent, start_threads)
    wire.send(peer, {"room": [measure.as_dict() for measure in measures]})
    settle()
    coming = _Questions(questions)
    while (question := coming.next()) is not None:
        if question.message is None:
            wire.send(questions, {"failure": "it was taken back"})
            continue
        try:
            _reply(questions, _answer(question.message, question.content, tools, outside), outside)
        finally:
            os.close(question.message)
        outside.done()


@dataclass(slots=True)
class _Question:
    """``message`` is None once it was taken back."""

    content: dict[str, Any]
    message: int | None


class _Questions:
    """The questions of the daemon, in order."""

    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer
        self._something = select.poll()
        self._something.register(peer, select.POLLIN)
        self._waiting: deque[_Question] = deque()

    def next(self) -> _Question | None:
        """When all that came by now is known; None at the end.  Raises as `wire.receive`."""
        while not self._waiting or self._something.poll(0):
            frame = wire.receive(self._peer)
            if frame is None:
                return None
            content, descriptors = frame
            if "back" in content:
                self._take_back(int(content["back"]))
            else:
                self._waiting.append(_Question(content, *descriptors))
        return self._waiting.popleft()

    def _take_back(self, most: int) -> None:
        for question in list(self._waiting)[-most:]:
            if question.message is not None:
                os.close(question.message)
                question.message = None


def _reply(questions: socket.socket, answer: dict[str, Any], outside: _Outside) -> None:
    """Raises OSError."""
    shown = [outside.scratch.descriptor] if answer.get("parts") else []
    try:
        wire.send(questions, answer, shown)
    except OSError as error:
        # So many of one user's descriptors are under way, by whomever: the verdict is what counts.
        if error.errno != errno.ETOOMANYREFS:
            raise
        wire.send(questions, {**answer, "parts": []})


def _answer(
    message: int, question: dict[str, Any], tools: Tools, outside: _Outside
) -> dict[str, Any]:
    try:
        size = int(question["size"])
        if size > tools.bounds.decoded_bytes:  # put here by hand: the receiver takes no such
            inspection = _too_large(tools.bounds.decoded_bytes)
        else:
            inspection = inspect(_read(message, int(question["offset"]), size), tools)
    except TemporaryFailure as failure:
        return {"failure": str(failure)}
    report = inspection.report
    shown = inspection.samples if report.verdict > Verdict.CLEAN else []
    return {"report": report.as_dict(), "parts": _parts(shown, outside)}


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


def _parts(samples: Sequence[Sample], outside: _Outside) -> list[dict[str, Any]]:
    """Decoded parts for the quarantine, as many as fit."""
    parts: list[dict[str, Any]] = []
    if not samples:
        return parts
    scratch = outside.cleared()
    for sample in samples:
        try:
            place = scratch.put(sample.data)
        except Full:
            break
        parts.append({"path": list(sample.path), "place": list(place)})
    return parts


@dataclass(slots=True)
class _Outside:
    """What the other half does for us, over a scratch that a message gets when it needs one."""

    peer: socket.socket
    _scratch: Scratch | None = None

    def scan(self, engine: str, samples: Sequence[Sample], deadline: float) -> list[Finding]:
        """As `Engine.scan`, as many samples at once as fit into the scratch."""
        found: list[Finding] = []
        waiting = list(samples)
        while waiting:
            places = self._put(waiting)
            given, waiting = waiting[: len(places)], waiting[len(places) :]
            left = min(deadline - time.monotonic(), _LONGEST)
            answer = self._ask({"scan": engine, "samples": places, "seconds": left})
            if "failure" in answer:
                raise TemporaryFailure(str(answer["failure"]))
            for one in map(Finding.from_dict, answer["findings"]):
                # A path is the sender's word, so a number stood for it; none is the whole message.
                path = given[int(one.path[0])].path if one.path else ()
                found.append(replace(one, path=path))
        return found

    def run(self, argv: Sequence[str], data: bytes, most: int, seconds: float) -> program.Result:
        """As `program.boxed`, for one of `commands`."""
        scratch = self.cleared()
        number, word = commands.ask(argv)
        asked = {"run": number, "word": word, "place": scratch.put(data)}
        answer = self._ask({**asked, "most": most, "seconds": seconds})
        at, length = answer["place"]
        return program.Result(scratch.get(int(at), int(length)), bool(answer["good"]))

    def _put(self, samples: Sequence[Sample]) -> list[tuple[int, int]]:
        scratch = self.cleared()
        places: list[tuple[int, int]] = []
        for sample in samples:
            try:
                places.append(scratch.put(sample.data))
            except Full:
                if not places:
                    raise
                break
        return places

    @property
    def scratch(self) -> Scratch:
        """That of the message in hand."""
        if self._scratch is None:
            answer, (descriptor,) = self._answered({"scratch": True})
            self._scratch = Scratch(descriptor, int(answer["scratch"]))
        return self._scratch

    def cleared(self) -> Scratch:
        """The same, to be written from its beginning."""
        self.scratch.clear()
        return self.scratch

    def done(self) -> None:
        """The message is judged."""
        if self._scratch is not None:
            self._scratch.close()
            self._scratch = None
            wire.send(self.peer, {"done": True})

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        return self._answered(question)[0]

    def _answered(self, question: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        wire.send(self.peer, question)
        frame = wire.receive(self.peer)
        if frame is None:
            raise wire.Broken("the other half ended")
        return frame
