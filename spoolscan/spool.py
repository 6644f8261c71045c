"""The spool: the only module that creates, renames or removes spool files.

A message is one file named by its queue id; its state is the directory it lies in::

    tmp/         being written, nobody was promised anything yet; or done with, about to be removed
    incoming/    received and acknowledged, to be scanned
    scanning/    in the scanner's hands
    outgoing/    judged (or put there by an administrator), to be forwarded
    quarantine/  DATE/ID, with ID.why.txt in words and decoded parts in ID_d/
    hold/        nobody could tell, or nobody would take it; ID.why.txt says why

Guarantees: `Draft.commit` returns only when the message and its name are on the disk; one rename
puts a message from one state into the next, and never over another message; nothing is removed
but by `Spool.remove` (an administrator said so), `Message.remove` (all recipients done),
`Draft.discard` (never acknowledged) and `Spool.sweep` (as these two, of what a crash left in tmp/).
A file put here by hand is a message like any other once it is as long as its SIZE line says.

Longer than most modules here, so that every rename of a message can be read in one place.

Fails with TemporaryFailure (its ``errno`` tells a full disk from a broken one), Corrupt (the file
is not what it says), Incomplete (still being copied here), Gone (somebody moved it: fine) and
Replaced (somebody put another file in its place).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Final, Self

from filelock import FileLock, Timeout

from spoolscan import disk, envelope
from spoolscan.envelope import Envelope, Head, ScanMark
from spoolscan.errors import ConfigError, Corrupt, SpoolscanError, TemporaryFailure
from spoolscan.queueid import QUEUE_ID, QueueIds

if TYPE_CHECKING:  # a look at a queue needs no event loop
    from spoolscan.syncer import Syncer

STATES: Final = ("tmp", "incoming", "scanning", "outgoing", "quarantine", "hold")
_HEAD_FIRST: Final = 4096
_WAKE: Final = ".look"  # no message: an empty file that comes anew when a state is to be looked at
_LOCK: Final = 0.2  # seconds; longer than `Spool.is_locked` holds it to see whether it can be had
_SAFE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Incomplete(SpoolscanError):
    """Shorter than its SIZE line says: somebody is still copying it here."""


class Gone(SpoolscanError):
    """No longer where it was: an administrator, or another stage, moved it."""


class Replaced(Gone):
    """Another file has its name by now, and was left alone."""


@contextmanager
def _doing(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TemporaryFailure.from_os(error, what) from error


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a listing; ``due`` (seconds since the epoch) is its time of last change.

    ``given``: somebody gave it that time.  A write leaves the time of the change of status there.
    """

    queue_id: str
    due: float
    size: int
    given: bool = False

    def is_due(self, now: float, longest: float = 86400.0) -> bool:
        """Whether it may be tried at ``now``; `Spool.defer` sets a time that is still to come.

        No delay is longer than ``longest`` seconds: a time further off means that the clock jumped.
        """
        return not now < self.due <= now + longest


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes and inodes."""

    free: int
    inodes: int


_NOTHING: Final[Mapping[str, Entry]] = MappingProxyType({})


class Draft:
    """A message being written in tmp/.  Not thread-safe; one writer."""

    def __init__(
        self, spool: Spool, message_envelope: Envelope, queue_id: str, begin: bytes | bytearray
    ) -> None:
        self._spool = spool
        self.id = queue_id or spool.ids.next()
        self.size = self._said = len(begin)  # _said: by the SIZE line
        self._path = spool.path("tmp", self.id)
        with _doing(f"creating tmp/{self.id}"):
            self._descriptor = disk.open_new(self._path)
            try:
                disk.claim_writing(self._descriptor)
                disk.write(self._descriptor, message_envelope.encode(self.id, self.size) + begin)
            except BaseException:
                self.discard()
                raise

    def write(self, data: bytes | memoryview) -> None:
        """Append to the message.

        Raises TemporaryFailure; the draft is discarded then, for nobody knows how much was written.
        """
        try:
            with _doing(f"writing tmp/{self.id}"):
                disk.write(self._descriptor, data)
        except BaseException:
            self.discard()
            raise
        self.size += len(data)

    def commit(self, to: str = "incoming") -> str:
        """Put it on the disk under its name in ``to``; returns the queue id.

        Raises TemporaryFailure; nothing was promised then, and the draft is discarded unless it has
        its name already: the sync of the directory failed, and a second copy may follow.
        """
        try:
            with _doing(f"committing {to}/{self.id}"):
                self._seal()
                disk.fsync(self._descriptor)
                self._publish(to)
                self._spool.sync(to)
        finally:
            self.discard()
        return self.id

    async def commit_by(self, syncer: Syncer, to: str = "incoming") -> str:
        """The same in an event loop, which goes on while the disk works."""
        try:
            with _doing(f"committing {to}/{self.id}"):
                self._seal()
                await syncer.file(self._descriptor)
                self._publish(to)
                await syncer.directory(self._spool.path(to))
        finally:
            self.discard()
        return self.id

    def _seal(self) -> None:
        if self._descriptor < 0:
            raise TemporaryFailure(f"tmp/{self.id}: discarded before it was committed")
        if self.size != self._said:
            disk.write_at(self._descriptor, envelope.size_field(self.size), envelope.SIZE_OFFSET)

    def _publish(self, to: str) -> None:
        disk.rename_new(self._path, self._spool.path(to, self.id))
        self._path = ""

    def discard(self) -> None:
        """Remove what was written.  After a commit, or a second time, this does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        _close(descriptor)
        if self._path:
            with suppress(OSError):  # `Spool.sweep` takes what is left at the next start
                disk.unlink(self._path)
            self._path = ""


class Message:
    """A whole, well-formed spool file, open for reading and marking.  Close it, or use `with`."""

    def __init__(self, spool: Spool, state: str, path: str, descriptor: int, head: Head) -> None:
        self._spool = spool
        self._path = path
        self._descriptor = descriptor
        self._head = head
        self._unsynced = False  # recipients are marked that a loss of power would take back
        self.state = state
        self.id = head.queue_id
        self.envelope = head.envelope
        self.size = head.size
        self.body_offset = head.body_offset

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        _close(descriptor)

    def fileno(self) -> int:
        return self._descriptor

    @property
    def due(self) -> float:
        """As in `Entry`, as long as nothing was marked.  Raises TemporaryFailure."""
        with _doing(f"looking at {self.state}/{self.id}"):
            return disk.status(self._descriptor).st_mtime

    def read(self, offset: int = 0, length: int | None = None) -> bytes:
        """The message's bytes from ``offset`` (in the message, not the file).

        Raises TemporaryFailure; Corrupt where the file was cut since it was opened.
        """
        wanted = self.size - offset if length is None else min(length, self.size - offset)
        pieces: list[bytes] = []
        with _doing(f"reading {self.state}/{self.id}"):
            while wanted > 0:
                piece = disk.read_at(self._descriptor, wanted, self.body_offset + offset)
                if not piece:
                    raise Corrupt(f"{self.state}/{self.id}: shorter than its SIZE line says")
                pieces.append(piece)
                offset += len(piece)
                wanted -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def mark(self, recipients: Iterable[int], state: str) -> None:
        """Write the state of some recipients in place; all on the disk when this returns.

        ``recipients`` are indices into ``envelope.recipients``.  Raises TemporaryFailure.
        """
        self.write_marks(recipients, state)
        self.sync_marks()

    def write_marks(self, recipients: Iterable[int], state: str) -> None:
        """The first half of `mark`: a kill of this program takes nothing back any more.

        Writes four bytes a recipient and nothing between them.  Raises TemporaryFailure.
        """
        word = state.encode("ascii")
        for recipient in recipients:
            self._unsynced = True
            with _doing(f"marking recipient {recipient} of {self.state}/{self.id}"):
                disk.write_at(self._descriptor, word, self._head.recipient_offsets[recipient])

    def sync_marks(self) -> None:
        """The second half: nor does a loss of power.  Raises TemporaryFailure.

        Does nothing where all marks are on the disk already.
        """
        if not self._unsynced:
            return
        self._unsynced = False  # before it, for another mark may be made meanwhile
        try:
            with _doing(f"marking recipients of {self.state}/{self.id}"):
                disk.fdatasync(self._descriptor)
        except TemporaryFailure:
            self._unsynced = True
            raise

    def mark_scan(self, mark: ScanMark) -> None:
        """Write the SCAN line in place.  Raises TemporaryFailure."""
        with _doing(f"marking {self.state}/{self.id}"):
            disk.write_at(self._descriptor, str(mark).encode("ascii"), self._head.scan_offset)

    def defer(self, when: float) -> None:
        """Do not try it again before ``when`` (seconds since the epoch), whatever state it is in.

        Raises TemporaryFailure.
        """
        self._spool.defer(self._path, when)

    def move(self, to: str, why: str | None = None) -> None:
        """Into another state, with ``ID.why.txt`` beside it when ``why`` is given.

        Raises Gone, TemporaryFailure.
        """
        if why is not None:
            self._spool.explain(self._spool.path(to, self.id), why)
        self._spool.shift(self._path, self._spool.path(to, self.id))
        self.state, self._path = to, self._spool.path(to, self.id)

    def quarantine(self, day: str, why: str, parts: Iterable[tuple[str, bytes]] = ()) -> str:
        """Into quarantine/DAY/, with why.txt and the decoded parts beside it; returns the path.

        ``parts`` are (file name, content); the names must be safe already.

        Raises Gone, TemporaryFailure.
        """
        folder = self._spool.path("quarantine", day)
        target = f"{folder}/{self.id}"
        with _doing(f"writing quarantine/{day}/{self.id}_d"):
            disk.make_directory(folder)
            self._spool.explain(target, why)
            for number, (name, content) in enumerate(parts):
                if not _SAFE_NAME.fullmatch(name):
                    raise ValueError(f"not a safe file name: {name!r}")
                if number == 0:
                    disk.make_directory(f"{target}_d")
                _write_whole(f"{target}_d/{name}", content, lasting=False)
            self._spool.sync("quarantine")  # a folder that is not on the disk must not get it
        self._spool.shift(self._path, target)
        self.state, self._path = "quarantine", target
        with _doing(f"writing quarantine/{day}"):
            disk.fsync_directory(folder)
        return target

    def remove(self) -> None:
        """Close and unlink it: every recipient is SENT or FAIL.  Gone already is as good.

        It goes by way of tmp/, where nobody puts another file in its place between the look at it
        and the unlink.  That waits for the disk at times: it belongs in a thread.  A loss of power
        may take it back until `Spool.sync` of its state.  Raises Replaced, TemporaryFailure.
        """
        aside = self._spool.path("tmp", self.id)
        try:
            with _doing(f"removing {self.state}/{self.id}"), suppress(FileNotFoundError):
                if self._lies_at(self._path):
                    disk.rename_new(self._path, aside)
                    if self._lies_at(aside):
                        self.close()  # what nobody has open costs half as much to unlink
                        disk.unlink(aside)
                        return
                    disk.rename_new(aside, self._path)
                raise Replaced(f"{self.state}/{self.id}: another file took its place meanwhile")
        finally:
            self.close()

    def _lies_at(self, path: str) -> bool:
        """Whether this is the file there.  It is open: no other one can have its number."""
        return os.path.samestat(disk.status(self._descriptor), disk.look(path))


def _close(descriptor: int) -> None:
    """What matters was synced before, and Linux frees the descriptor whatever it answers."""
    if descriptor >= 0:
        with suppress(OSError):
            disk.close(descriptor)


def _write_whole(path: str, content: bytes, *, lasting: bool = True) -> None:
    """A small file that explains; one left by an earlier attempt at this message is replaced."""
    with suppress(FileNotFoundError):
        disk.unlink(path)
    descriptor = disk.open_new(path)
    try:
        disk.write(descriptor, content)
        if lasting:
            disk.fsync(descriptor)
    finally:
        _close(descriptor)


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        disk.unlink(path)


class Spool:
    """The directories under one root.  Opening it reads nothing; `check` does."""

    def __init__(self, root: Path | str) -> None:
        self.root = os.path.abspath(root)
        self.ids = QueueIds()

    def path(self, *names: str) -> str:
        return "/".join((self.root, *names))

    def sync(self, state: str) -> None:
        """The names in a state's directory are on the disk when this returns.  Raises OSError."""
        disk.fsync_directory(self.path(state))

    def check(self) -> None:
        """Raises ConfigError where a directory is missing, open to others, or elsewhere."""
        try:
            device = disk.look_through(self.root).st_dev
            for name in ("", *STATES, "var"):
                path = self.path(name) if name else self.root
                found = disk.look_through(path)
                if found.st_mode & 0o077:
                    raise ConfigError(
                        f"{path}: open to others (mode {found.st_mode & 0o777:04o}); chmod 700"
                    )
                if found.st_dev != device:
                    raise ConfigError(
                        f"{path}: on another file system than {self.root}; renames need one"
                    )
                if not disk.is_ours_to_use(path):
                    raise ConfigError(
                        f"{path}: not writable for uid {os.geteuid()}; "
                        "look at its owner, and whether it is mounted read-only"
                    )
        except FileNotFoundError as error:
            remedy = (
                f"`spoolscan init {self.root}` lays out a spool"
                if error.filename == self.root
                else f"`mkdir -m 700 {error.filename}`, and give it the spool's owner"
            )
            raise ConfigError(f"{error.filename}: not there; {remedy}") from error
        except OSError as error:
            raise ConfigError(f"{error.filename}: {error.strerror}") from error

    @contextmanager
    def lock(self, stage: str) -> Iterator[None]:
        """The one lock of a stage.  Raises TemporaryFailure where another process has it."""
        lock = FileLock(self.path("var", f"{stage}.lock"), mode=0o600)
        try:
            lock.acquire(timeout=_LOCK, poll_interval=0.02)
        except Timeout as error:
            raise TemporaryFailure(
                f"{lock.lock_file}: another {stage} is running on this spool"
            ) from error
        except OSError as error:
            raise TemporaryFailure.from_os(error, f"locking {lock.lock_file}") from error
        try:
            yield
        finally:
            lock.release()

    def is_locked(self, stage: str) -> bool:
        """Whether a stage is running, as far as its lock tells."""
        path = self.path("var", f"{stage}.lock")
        return os.path.exists(path) and not disk.writer_is_gone(path)

    def draft(
        self, message_envelope: Envelope, queue_id: str = "", begin: bytes | bytearray = b""
    ) -> Draft:
        """Begin a new message; ``queue_id`` is one of `ids`, ``begin`` the first of its bytes.

        Raises TemporaryFailure.
        """
        return Draft(self, message_envelope, queue_id, begin)

    def names(self, state: str) -> list[str]:
        """The queue ids in a state, oldest first.  Other files than messages are passed over.

        Raises TemporaryFailure.
        """
        with _doing(f"listing {state}/"):
            return sorted(filter(QUEUE_ID.fullmatch, disk.listing(self.path(state))))

    def entry(self, state: str, queue_id: str) -> Entry | None:
        """One file of a state; None where it has gone.  Raises TemporaryFailure."""
        with _doing(f"looking at {state}/{queue_id}"):
            try:
                status = disk.look(self.path(state, queue_id))
            except FileNotFoundError:
                return None
        given = status.st_mtime_ns != status.st_ctime_ns
        return Entry(queue_id, status.st_mtime, status.st_size, given)

    def entries(self, state: str, known: Mapping[str, Entry] = _NOTHING) -> list[Entry]:
        """What lies in a state, oldest first; what is ``known`` is not looked at again.

        Raises TemporaryFailure.
        """
        found = (known.get(name) or self.entry(state, name) for name in self.names(state))
        return [entry for entry in found if entry is not None]

    def open(self, state: str, queue_id: str) -> Message:
        """Open a message and read its envelope.

        Raises Gone, Incomplete, Corrupt, TemporaryFailure.
        """
        path = self.path(state, queue_id)
        where = f"{state}/{queue_id}"
        with _doing(f"opening {where}"):
            try:
                descriptor = disk.open_found(path)
            except FileNotFoundError as error:
                raise Gone(f"{where}: not there any more") from error
            except OSError as error:
                if disk.is_strange(path):
                    raise Corrupt(f"{where}: not a regular file") from error
                raise
            try:
                return Message(self, state, path, descriptor, _head(descriptor, where, queue_id))
            except BaseException:
                _close(descriptor)
                raise

    def claim(self, queue_id: str) -> Message:
        """Take a message from incoming/ into scanning/.

        It is opened first: one that is not whole, or not ours to read, stays where it is.
        Raises as `open`.
        """
        message = self.open("incoming", queue_id)
        try:
            message.move("scanning")
        except BaseException:
            message.close()
            raise
        return message

    def defer(self, path: str, when: float) -> None:
        """See `Message.defer`; for a file that cannot be opened as a message."""
        with _doing(f"deferring {path}"), suppress(FileNotFoundError):
            disk.set_time(path, when)

    def hold(self, state: str, queue_id: str, why: str) -> None:
        """Set aside, as it is, what cannot be read as a message.  Raises Gone, TemporaryFailure."""
        target = self.path("hold", queue_id)
        self.explain(target, why)
        self.shift(self.path(state, queue_id), target)

    def remove(self, state: str, queue_id: str) -> None:
        """Unlink a file of a state, a message or not: an administrator said so.

        What explains it goes with it.  Raises Gone, TemporaryFailure.
        """
        path = self.path(state, queue_id)
        with _doing(f"removing {state}/{queue_id}"):
            try:
                disk.unlink(path)
            except FileNotFoundError as error:
                raise Gone(f"{state}/{queue_id}: not there any more") from error
            with suppress(FileNotFoundError):
                disk.unlink(f"{path}.why.txt")

    def wake(self, state: str) -> None:
        """Have who watches a state look at all of it now; see `woken`.  Raises TemporaryFailure."""
        path = self.path(state, _WAKE)
        with _doing(f"waking {state}/"):
            with suppress(FileNotFoundError):
                disk.unlink(path)
            with suppress(FileExistsError):  # another one did it just now
                _close(disk.open_new(path))

    def woken(self, state: str) -> float:
        """When `wake` was called last; 0 for never.  Raises TemporaryFailure."""
        found = self.entry(state, _WAKE)
        return found.due if found else 0.0

    def expunge(self, place: str, queue_id: str) -> None:
        """Delete a message of quarantine/DATE/, with all that lies beside it.

        Raises TemporaryFailure.  What is gone already is as good.
        """
        path = self.path(place, queue_id)
        with _doing(f"deleting {place}/{queue_id}"):
            for name in disk.listing_if_there(f"{path}_d"):
                _unlink(f"{path}_d/{name}")
            disk.remove_directory(f"{path}_d")
            _unlink(f"{path}.why.txt")
            _unlink(path)
            disk.remove_directory(self.path(place))

    def explain(self, target: str, why: str) -> None:
        """Write ``TARGET.why.txt``, with line ends that every desktop reads.

        Raises TemporaryFailure.
        """
        text = why.replace("\r\n", "\n").replace("\n", "\r\n")
        with _doing(f"writing {target}.why.txt"):
            _write_whole(f"{target}.why.txt", text.encode("utf-8", "backslashreplace"))

    def note(self, name: str, data: bytes) -> None:
        """Write ``var/NAME``, all of it or nothing.  Raises TemporaryFailure."""
        path = self.path("var", name)
        with _doing(f"writing var/{name}"):
            _write_whole(f"{path}.new", data)
            disk.rename_over(f"{path}.new", path)

    @staticmethod
    def install(path: str, data: bytes) -> None:
        """Put a file of the site's in force, what was there replaced: all of it or nothing.

        ``path`` is no message's.  It is on the disk when this returns, for its owner alone.  Raises
        TemporaryFailure.
        """
        draft = f"{path}.{os.getpid()}.new"  # another process may write one at the same time
        with _doing(f"writing {path}"):
            try:
                _write_whole(draft, data)
                disk.rename_over(draft, path)
            finally:
                _unlink(draft)  # where one of the two failed
            disk.fsync_directory(os.path.dirname(path))

    def shift(self, source: str, target: str) -> None:
        """Rename one file; never over another.  Raises Gone, TemporaryFailure."""
        try:
            disk.rename_new(source, target)
        except FileNotFoundError as error:
            raise Gone(f"{source}: not there any more") from error
        except OSError as error:
            raise TemporaryFailure.from_os(error, f"moving {source} to {target}") from error

    def sweep(self) -> list[str]:
        """Remove what lies in tmp/ and nobody writes any more; returns the names.

        Those are drafts whose writer died, which were never acknowledged, and messages that a
        `Message.remove` had put aside, all of whose recipients are done.  Raises TemporaryFailure.
        """
        swept: list[str] = []
        with _doing("clearing tmp/"):
            for name in disk.listing(self.path("tmp")):
                path = self.path("tmp", name)
                if QUEUE_ID.fullmatch(name) and disk.writer_is_gone(path):
                    with suppress(FileNotFoundError):  # another stage that starts sweeps too
                        disk.unlink(path)
                        swept.append(name)
        return swept

    def recover(self, attempts: int) -> Iterator[tuple[str, int, str]]:
        """Bring back what a dead scanner had in hand; call with the scanner's lock held.

        Yields (queue id, tries, state it is in now): incoming/ with its count raised, hold/ after
        ``attempts``, scanning/ where it cannot be moved: a copy made by hand is in its way, or
        there is no room to say why.  Raises TemporaryFailure where the listing fails.
        """
        for entry in self.entries("scanning"):
            try:
                tries, state = self._bring_back(entry.queue_id, attempts)
            except Gone:
                continue
            except TemporaryFailure:  # one message's trouble is no reason for none to be scanned
                tries, state = 0, "scanning"
            yield entry.queue_id, tries, state

    def _bring_back(self, queue_id: str, attempts: int) -> tuple[int, str]:
        try:
            with self.open("scanning", queue_id) as message:
                return self.give_back(message, attempts)
        except (Corrupt, Incomplete) as error:
            self.hold("scanning", queue_id, f"Found in scanning/ and not readable: {error}\n")
            return 0, "hold"

    def give_back(self, message: Message, attempts: int) -> tuple[int, str]:
        """Return a claimed message that something died on; see `recover`."""
        tries = message.envelope.scan.tries + 1
        message.mark_scan(ScanMark("-", tries))
        if tries < attempts:
            message.move("incoming")
            return tries, "incoming"
        message.move(
            "hold",
            f"The scanner died {tries} times with this message in hand, so it was set aside.\n"
            "Move it back to incoming/ to try it again, or to outgoing/ to deliver it unscanned.\n",
        )
        return tries, "hold"

    def room(self) -> Room:
        """What is free for its owner, a quota aside.  Raises TemporaryFailure."""
        with _doing("looking for room"):
            found = disk.room(self.root)
        counted = found.f_files > 0  # where there is no table of inodes, there is no end of them
        return Room(found.f_bavail * found.f_frsize, found.f_favail if counted else sys.maxsize)

    def probe(self) -> None:
        """Write, sync and remove a small file; TemporaryFailure while the disk is not fit."""
        path = self.path("tmp", self.ids.next())  # should it stay behind, `sweep` takes it
        with _doing("probing tmp/"):
            descriptor = disk.open_new(path)
            try:
                disk.claim_writing(descriptor)
                disk.write(descriptor, b"probe\n")
                disk.fsync(descriptor)
            finally:
                _close(descriptor)
                disk.unlink(path)


def _head(descriptor: int, where: str, queue_id: str) -> Head:
    """Read and check the envelope.  Raises Corrupt, Incomplete, OSError."""
    status = disk.status(descriptor)
    if not disk.is_plain(status):
        raise Corrupt(f"{where}: not a regular file with one name")
    data = disk.read_at(descriptor, _HEAD_FIRST, 0)
    while b"\nBODY\n" not in data:
        more = disk.read_at(descriptor, max(len(data), _HEAD_FIRST), len(data))
        if not more:
            raise Incomplete(f"{where}: no whole envelope yet")
        data += more
        if len(data) > envelope.HEAD_LIMIT:
            raise Corrupt(f"{where}: no BODY line in the first {envelope.HEAD_LIMIT} bytes")
    try:
        head = envelope.parse(data)
    except Corrupt as error:
        raise Corrupt(f"{where}: {error}") from error
    if head.queue_id != queue_id:
        raise Corrupt(f"{where}: its envelope says {head.queue_id}")
    length = status.st_size - head.body_offset
    if length < head.size:
        raise Incomplete(f"{where}: {length} of {head.size} bytes are there")
    if length > head.size:
        raise Corrupt(f"{where}: {length - head.size} bytes more than its SIZE line says")
    return head
