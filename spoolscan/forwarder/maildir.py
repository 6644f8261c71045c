"""The route into a maildir: the embedded default, so that a trial needs no mail server.

Layout and names are those of https://cr.yp.to/proto/maildir.html: tmp/ while it is written, then
renamed into new/, never over another file; what is said to be delivered is on the disk.  One file a
message, with LF line ends as mail readers expect them in files, headed by Return-Path: (RFC 5321
section 4.4) and a Delivered-To: for each recipient.  The maildir is made, 0700, when it is not
there; its parent must be.

Fails with NextHopDown where the maildir cannot be used at all, TemporaryFailure (disk full), and
Corrupt as the other routes do.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from spoolscan import disk
from spoolscan.errors import TemporaryFailure
from spoolscan.forwarder.body import Canonical
from spoolscan.forwarder.delivery import (
    Fate,
    Mail,
    NextHopDown,
    Outcome,
    Settle,
    Success,
)
from spoolscan.forwarder.final import trace

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE})


class MaildirRoute:
    """Delivers into the maildir at ``path`` (absolute)."""

    def __init__(self, name: str, path: str, hostname: str) -> None:
        self.name = name
        self._path = path
        self._host = hostname.replace("/", r"\057").replace(":", r"\072")
        self._numbers = itertools.count(1)
        self._stands = False  # its directories are on the disk

    async def deliver(self, mail: Mail, settle: Settle) -> None:
        """See `Route.deliver`."""
        canonical = Canonical()
        unique = self._unique_name()
        descriptor = await asyncio.to_thread(self._create, unique)
        try:
            await self._write(
                descriptor, trace(mail.sender, (address for _, address in mail.recipients))
            )
            async for chunk in mail.content():
                await self._write(descriptor, canonical.feed(chunk))
            await self._write(descriptor, canonical.finish())
            await asyncio.to_thread(self._commit, descriptor, unique)
        finally:
            disk.close(descriptor)
            with suppress(OSError):  # there only when it did not get into new/
                disk.unlink(self._place("tmp", unique))
        done = Outcome(Fate.DELIVERED, "2.0.0", f"new/{unique}", success=Success.DELIVERED)
        await settle({index: done for index, _ in mail.recipients})

    async def close(self) -> None:
        """Nothing is kept open."""

    def _unique_name(self) -> str:
        second, micro = divmod(time.time_ns() // 1000, 1_000_000)
        return f"{second}.M{micro}P{os.getpid()}Q{next(self._numbers)}.{self._host}"

    def _create(self, unique: str) -> int:
        with self._doing("writing into"):
            folders = (self._path, *map(self._place, ("tmp", "new", "cur")))
            made = [disk.make_directory(folder) for folder in folders]
            if any(made) or not self._stands:
                disk.fsync_directory(self._path)
                disk.fsync_directory(os.path.dirname(self._path))
                self._stands = True
            return disk.open_new(self._place("tmp", unique))

    async def _write(self, descriptor: int, data: bytes) -> None:
        with self._doing("writing into"):
            await asyncio.to_thread(disk.write, descriptor, data.replace(b"\r\n", b"\n"))

    def _commit(self, descriptor: int, unique: str) -> None:
        with self._doing("delivering into"):
            disk.fsync(descriptor)
            disk.rename_new(self._place("tmp", unique), self._place("new", unique))
            disk.fsync_directory(self._place("new"))

    def _place(self, *names: str) -> str:
        return "/".join((self._path, *names))

    @contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            failure = TemporaryFailure.from_os(error, f"{what} {self._path}")
            if error.errno in _FULL:
                raise failure from error
            raise NextHopDown(str(failure), failure.errno) from error
