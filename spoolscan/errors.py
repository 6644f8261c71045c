"""The four ways anything here can fail, and what each means for a message.

==================  ==========================  ============  =====
error               the message                 SMTP          exit
==================  ==========================  ============  =====
TemporaryFailure    stays, is retried by age    451 4.x.x     75
PermanentFailure    FAIL and a report, or hold  554 5.x.x     69
Corrupt             hold, with the reason       --            65
ConfigError         untouched, nothing starts   421           78
==================  ==========================  ============  =====

The exit statuses are those of ``sysexits.h``.  An exception that is none of these is treated as a
TemporaryFailure wherever a stage catches it: what is not understood never loses mail.
"""

from __future__ import annotations

import errno
import os
from typing import ClassVar


class SpoolscanError(Exception):
    """What went wrong, where, and what to do, in one sentence fit for a log line."""

    exit_status: ClassVar[int] = 75


class TemporaryFailure(SpoolscanError):
    """May succeed later.  ``errno`` tells a full disk from a broken one; 0 where no call failed."""

    exit_status: ClassVar[int] = 75

    def __init__(self, message: str, errno: int = 0) -> None:
        super().__init__(message)
        self.errno = errno

    @classmethod
    def from_os(cls, error: OSError, doing: str) -> TemporaryFailure:
        """The failure of a system call, saying what was being done."""
        number = error.errno or 0
        name = errno.errorcode.get(number, str(number))
        return cls(f"{doing}: {os.strerror(number)} ({name})", number)


class PermanentFailure(SpoolscanError):
    """Will not succeed however often it is tried."""

    exit_status: ClassVar[int] = 69


class Corrupt(SpoolscanError):
    """A spool file is not what its own envelope says it is."""

    exit_status: ClassVar[int] = 65


class ConfigError(SpoolscanError):
    """A setting, a pattern file or a rule cannot be used; names file, place, value and remedy."""

    exit_status: ClassVar[int] = 78
