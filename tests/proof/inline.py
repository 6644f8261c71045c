"""A gateway in one process: the real spool, scanner, forwarder and maildir, one pass after another.

Only the scanner's worker is not a process of its own here: it judges by the same `inspect`, in the
same thread.  So every call to the disk is one of `spoolscan.disk`, in this process, and their order
is the same each time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Self

import pytest

from proof.mail import ALICE, GONE, Letter
from spoolscan import config, log
from spoolscan.cli.init import lay_out
from spoolscan.envelope import Envelope, Recipient
from spoolscan.errors import TemporaryFailure
from spoolscan.forwarder.daemon import Forwarder
from spoolscan.notices import Templates
from spoolscan.scanner import daemon
from spoolscan.scanner.answer import Answer, DecodedPart
from spoolscan.scanner.daemon import Scanner
from spoolscan.scanner.inspect import inspect
from spoolscan.scanner.nursery import Nursery
from spoolscan.scanner.toolbox import Toolbox
from spoolscan.spool import STATES, Message, Spool
from spoolscan.syncer import Syncer

_PERMANENT = ("etc", "bin")


def memory() -> str | None:
    """Where files cost nothing: what is proved in one process needs no disk."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a folder in it


class Pool:
    """In place of `pool.Pool`."""

    size = 1

    def __init__(
        self, settings: config.Config, _: Nursery, out: Callable[[], frozenset[str]]
    ) -> None:
        self._tools, self._out = _toolbox(settings.root).tools, out
        self.measures: list[str] = []

    async def prepare(self) -> list[TemporaryFailure]:
        return []

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...

    async def ask(self, message: Message) -> Answer:
        inspection = inspect(message.read(), self._tools(self._out()))
        shown = inspection.samples if inspection.report.verdict else []
        descriptor = os.memfd_create("parts")
        answer = Answer(inspection.report, descriptors=[descriptor])
        for sample in shown:
            offset = os.lseek(descriptor, 0, os.SEEK_END)
            os.write(descriptor, sample.data)
            answer.parts.append(DecodedPart(sample.path, descriptor, offset, len(sample.data)))
        return answer


class Watch:
    """In place of `watch.Watch`: a single pass waits for nothing."""

    def __init__(self, path: str, name: str) -> None: ...
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...
    def wake(self) -> None: ...
    def names(self) -> None: ...


class _Lasting(Toolbox):
    """Rules take their time to be compiled, and these are the same for every scanner here."""

    def close(self) -> None: ...


@cache
def _toolbox(root: Path) -> Toolbox:
    return _Lasting(config.load(root))


class World:
    """One spool directory with its maildir in it.  Within `living`, passes may be made."""

    def __init__(self, root: Path) -> None:
        self.root = root
        refuse = root / "refuse"
        lay_out(
            root,
            {
                "domains": ["example.com"],
                "networks": ["127.0.0.2/32"],
                "admin": "postmaster@example.com",
                "listen": ["127.0.0.1:2525"],
                "next_hop": f"maildir:{root}/maildir",
            },
        )
        refuse.write_text("#!/bin/sh\nexit 67\n")
        refuse.chmod(0o700)
        (root / "etc/routes").write_text(f"{GONE} pipe:{refuse}\n")
        self.settings = config.load(root)
        self.spool = Spool(root)

    @contextmanager
    def living(self) -> Iterator[None]:
        """The worker is ours, and nothing is logged."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(daemon, "Pool", Pool)
            patch.setattr(daemon, "Watch", Watch)
            patch.setattr(daemon, "Toolbox", lambda settings, _: _toolbox(settings.root))
            patch.setattr(log, "event", lambda *_, **__: None)
            patch.setattr(log, "failure", lambda *_, **__: None)
            logging.disable(logging.CRITICAL)
            try:
                yield
            finally:
                logging.disable(logging.NOTSET)

    def clear(self) -> None:
        """As `init` left it."""
        for place in self.root.iterdir():
            if place.is_dir() and place.name not in _PERMANENT:
                shutil.rmtree(place)
        for state in (*STATES, "var"):
            (self.root / state).mkdir(mode=0o700)
        self.spool = Spool(self.root)

    # The stages

    def receive(self, letter: Letter) -> str:
        """Its queue id: from here on it is promised.  Raises TemporaryFailure: it is not."""
        return asyncio.run(self._receive(letter))

    async def _receive(self, letter: Letter) -> str:
        """As the receiver does; by threads, whose calls are recorded."""
        syncer = Syncer(1, threads=True)
        envelope = Envelope(
            ALICE, tuple(map(Recipient, letter.recipients)), helo="mail.example.net"
        )
        draft = self.spool.draft(envelope, begin=b"Received: from mail.example.net\r\n")
        try:
            draft.write(letter.data)
            return await draft.commit_by(syncer)
        finally:
            draft.discard()
            syncer.close()

    def scan(self) -> None:
        """A start of the scanner, and one pass: as ``scanmail --once``."""
        self.spool.sweep()
        scanner = Scanner(self.spool, self.settings)
        asyncio.run(scanner.run(asyncio.Event(), once=True))

    def forward(self) -> None:
        """The same of the forwarder."""
        self.spool.sweep()
        templates = Templates(self.settings.template_folders())
        asyncio.run(Forwarder(self.settings, self.spool, templates).run_once())

    def recover(self) -> None:
        """Start all again after whatever happened, and let them finish; nothing has to wait."""
        self.spool = Spool(self.root)
        for _ in range(4):
            self.hurry()
            self.scan()
            self.forward()
            if not any(self.spool.names(state) for state in ("incoming", "scanning", "outgoing")):
                return

    def hurry(self) -> None:
        """What was deferred is due, as `spoolscan queue flush` has it."""
        now = time.time()
        for state in ("incoming", "scanning", "outgoing"):
            for queue_id in self.spool.names(state):
                os.utime(self.spool.path(state, queue_id), (now, now), follow_symlinks=False)

    def delivered(self) -> list[bytes]:
        """All that came into the maildir."""
        new = self.root / "maildir/new"
        return [path.read_bytes() for path in sorted(new.iterdir())] if new.exists() else []
