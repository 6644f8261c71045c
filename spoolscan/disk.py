"""The system calls under the spool, each a thin pass-through.

Production goes straight through; tests replace single functions of this module to record calls, to
make them fail, or to stop the world at one of them.  Nothing here knows what a message is.  Every
function raises OSError as the kernel gave it.  What an event loop waits for is synced by `syncer`.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
from typing import Final

_AT_FDCWD: Final = -100
_RENAME_NOREPLACE: Final = 1
_libc: Final = ctypes.CDLL(None, use_errno=True)


def open_new(path: str) -> int:
    """Create a file that was not there, 0600, for writing and reading."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, 0o600)


def open_found(path: str) -> int:
    """Open what is there for reading and marking; a link is refused, a fifo does not block."""
    return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)


def status(descriptor: int) -> os.stat_result:
    return os.fstat(descriptor)


def is_plain(found: os.stat_result) -> bool:
    """A regular file with one name: nobody else holds it by another path."""
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1


def write(descriptor: int, data: bytes | memoryview) -> None:
    """Write all of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_at(descriptor: int, data: bytes, offset: int) -> None:
    """Overwrite in place, all of it."""
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)


def read_at(descriptor: int, length: int, offset: int) -> bytes:
    return os.pread(descriptor, length, offset)


def fsync(descriptor: int) -> None:
    os.fsync(descriptor)


def fdatasync(descriptor: int) -> None:
    os.fdatasync(descriptor)


def fsync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
        os.fstat(descriptor)  # as `syncer` does after it: XFS tells of its end there alone
    finally:
        os.close(descriptor)


def open_directory(path: str) -> int:
    """For `fsync`."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def close(descriptor: int) -> None:
    os.close(descriptor)


def rename_new(source: str, target: str) -> None:
    """Rename, never over an existing file (FileExistsError): renameat2(2) with RENAME_NOREPLACE."""
    done = _libc.renameat2(
        _AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE
    )
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), source, None, target)


def rename_over(source: str, target: str) -> None:
    """Rename; what has that name already is replaced."""
    os.replace(source, target)


def unlink(path: str) -> None:
    os.unlink(path)


def make_directory(path: str) -> bool:
    """Create it 0700; one that is there already is as good.  Returns whether it is new."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            raise
        return False
    return True


def set_time(path: str, when: float) -> None:
    """Set the time of last change, in seconds since the epoch."""
    os.utime(path, (when, when), follow_symlinks=False)


def listing(path: str) -> list[str]:
    return os.listdir(path)


def room(path: str) -> os.statvfs_result:
    """Of the file system it lies on."""
    return os.statvfs(path)


def listing_if_there(path: str) -> list[str]:
    """Of a directory that need not be there."""
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []


def remove_directory(path: str) -> None:
    """Where it is there and empty."""
    try:
        os.rmdir(path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
            raise


def look(path: str) -> os.stat_result:
    return os.lstat(path)


def look_through(path: str) -> os.stat_result:
    """At what a link leads to."""
    return os.stat(path)


def is_ours_to_use(path: str) -> bool:
    """Whether we may list, write and enter a directory."""
    return os.access(path, os.R_OK | os.W_OK | os.X_OK)


def claim_writing(descriptor: int) -> None:
    """Say that this file has a living writer, for as long as the descriptor is open."""
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def writer_is_gone(path: str) -> bool:
    """Whether no living process has said `claim_writing` on it."""
    try:
        descriptor = open_found(path)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def is_strange(path: str) -> bool:
    """Whether what lies there is a link, a fifo, a directory: anything but a regular file."""
    try:
        return not stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False
