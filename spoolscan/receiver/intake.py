"""Between connections and the spool: everything that waits for the disk, and what its failures mean
for the peer.

=====================  ==================================================================
too little room left   452 4.3.1 to MAIL (`watermark`)
ENOSPC, EDQUOT         452 4.3.1, message by message: room may come back
EMFILE, ENFILE         421 4.3.2
EIO, EROFS             451 4.3.0, and no new mail until a probe of the spool passes
anything else          451 4.3.0: what is not understood is temporary
=====================  ==================================================================

A message goes into its file segment by segment: the first of them, which is all of most messages,
in the loop's own turns, which are short, and what a large one has besides in a thread; for what has
to be on the disk the kernel is waited for (`syncer`).  Until there is a segment of it, a message is
in memory only.  What is not committed is discarded, also when its task is cancelled: a call under
way in a thread is waited for first, so that no two threads ever have the same message.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from spoolscan import log
from spoolscan.envelope import Envelope
from spoolscan.errors import TemporaryFailure
from spoolscan.receiver import trace
from spoolscan.receiver.client import Client
from spoolscan.receiver.reply import Reply
from spoolscan.receiver.stream import SEGMENT
from spoolscan.receiver.watermark import Watermark
from spoolscan.spool import Draft, Spool
from spoolscan.syncer import Syncer

P = ParamSpec("P")
T = TypeVar("T")

NO_SPACE: Final = Reply(452, "4.3.1", "no room for it now, try again later")
NO_DESCRIPTORS: Final = Reply(421, "4.3.2", "too busy, try again later")
SPOOL_BROKEN: Final = Reply(451, "4.3.0", "cannot store mail now, try again later")

_REPLIES: Final = {
    errno.ENOSPC: NO_SPACE,
    errno.EDQUOT: NO_SPACE,
    errno.EMFILE: NO_DESCRIPTORS,
    errno.ENFILE: NO_DESCRIPTORS,
}
_BROKEN: Final = (errno.EIO, errno.EROFS)
_SMALL: Final = 4 * SEGMENT  # bytes of a message that are written in the loop's own turns


class Writing:
    """A message being taken in.  Its file is made when there is a segment of it, or all."""

    def __init__(self, spool: Spool, client: Client, envelope: Envelope) -> None:
        self.id = spool.ids.next()
        self.size = 0
        self.client = client
        self.envelope = envelope
        self._began = time.monotonic()
        self._spool = spool
        self._held = bytearray()
        self._draft: Draft | None = None

    @property
    def age(self) -> float:
        """Seconds since it was begun."""
        return time.monotonic() - self._began

    @property
    def held(self) -> int:
        """Bytes that are in memory."""
        return len(self._held)

    @property
    def has_file(self) -> bool:
        return self._draft is not None

    def hold(self, data: bytes) -> None:
        """Append, in memory."""
        self._held += data
        self.size += len(data)

    def write(self) -> Draft:
        """Put into the file what is in memory.  As long as that is short, so is this."""
        held, self._held = self._held, bytearray()
        if self._draft is None:
            self._draft = self._spool.draft(self.envelope, self.id, held)
        elif held:
            self._draft.write(memoryview(held))
        return self._draft

    def discard(self) -> None:
        if self._draft is not None:
            self._draft.discard()


class Intake:
    """One a receiver.  ``threads`` messages are written at the same time; the rest wait."""

    def __init__(self, spool: Spool, host: str, threads: int, probe_seconds: float) -> None:
        self._spool = spool
        self._host = host
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="spool")
        self._syncer = Syncer(threads)
        self._probe_seconds = probe_seconds
        self._probing = asyncio.Lock()
        self._next_probe: float | None = None  # None while the spool is fit; time of the loop
        self.watermark = Watermark(spool.room, time.monotonic)

    async def objection(self, size: int = 0) -> Reply | None:
        """Why no new message of that many bytes can be taken now; None where it can."""
        if refusal := await self._unfit():
            return refusal
        try:
            return None if self.watermark.has_room(size) else NO_SPACE
        except TemporaryFailure as error:
            return self.reply_to(error, "-")

    async def _unfit(self) -> Reply | None:
        """Why nothing can be stored; None while the spool is fit."""
        if self._next_probe is None:
            return None
        async with self._probing:
            now = asyncio.get_running_loop().time()
            if self._next_probe is None:
                return None
            if now < self._next_probe:
                return SPOOL_BROKEN
            self._next_probe = now + self._probe_seconds
            try:
                await self._in_thread(self._spool.probe)
            except Exception as error:
                return self.reply_to(error, "-")
            self._next_probe = None
            log.event(
                "receiver", "-", logging.WARNING, event="resumed", reason="the spool is fit again"
            )
            return None

    def begin(self, client: Client, envelope: Envelope) -> Writing:
        """A message with our Received field in it."""
        writing = Writing(self._spool, client, envelope)
        writing.hold(trace.received(client, envelope, writing.id, self._host))
        return writing

    async def write(self, writing: Writing, data: bytes) -> None:
        """Append.  Raises TemporaryFailure, or anything; it is still to be discarded."""
        writing.hold(data)
        if writing.held >= SEGMENT:
            await self._put(writing)

    async def _put(self, writing: Writing) -> Draft:
        """Into the file with what is in memory."""
        small = writing.size <= _SMALL
        return writing.write() if small else await self._in_thread(writing.write)

    async def commit(self, writing: Writing) -> None:
        """When this returns, the message is on the disk.

        Raises TemporaryFailure, or anything; it is still to be discarded.
        """
        draft = await self._put(writing)
        await draft.commit_by(self._syncer)

    async def discard(self, writing: Writing) -> None:
        """Forget it, and its file.  Never raises."""
        if writing.has_file:
            await self._in_thread(writing.discard)

    def reply_to(self, error: Exception, queue_id: str) -> Reply:
        """What a failed call means for the peer.  Logs it, and remembers a broken spool."""
        number = error.errno if isinstance(error, TemporaryFailure) else 0
        log.event("receiver", queue_id, logging.ERROR, event="failed", reason=f"{error!r}")
        if number in _BROKEN:
            loop = asyncio.get_running_loop()
            self._next_probe = loop.time() + self._probe_seconds
        return _REPLIES.get(number, SPOOL_BROKEN)

    def close(self) -> None:
        """Wait for the threads and for what is being synced, and end."""
        self._threads.shutdown()
        self._syncer.close()

    async def _in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._threads, lambda: call(*args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise
