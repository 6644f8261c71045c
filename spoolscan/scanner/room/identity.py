"""Who a room is: nobody, without privileges, and gone when the process around it goes.

prctl(2), capabilities(7), credentials(7).
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
from typing import Final

from spoolscan.errors import ConfigError
from spoolscan.scanner.room import kernel

_PDEATHSIG, _DUMPABLE, _NO_NEW_PRIVS, _AMBIENT = 1, 4, 38, 47
_CLEAR_ALL: Final = 4
_CAPABILITY_VERSION: Final = 0x20080522


class _Header(ctypes.Structure):
    """struct __user_cap_header_struct."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def check(user: str) -> None:
    """Raises ConfigError where `become` could not."""
    if os.geteuid() == 0:
        _account(user)


def _account(user: str) -> pwd.struct_passwd:
    """The account of that name.  Raises ConfigError where there is none, or it is root's."""
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        raise ConfigError(f"scanner.user: no account {user!r} here; name one, or add it") from None
    if found.pw_uid == 0:
        raise ConfigError(f"scanner.user: {user!r} is root; name an account without privileges")
    return found


def become(user: str) -> str:
    """Be that user where we are root; answers with who we are then.

    Raises ConfigError and OSError.
    """
    if os.geteuid() != 0:
        return f"uid {os.geteuid()}, not started as root"
    found = _account(user)
    os.setgroups([])
    os.setresgid(found.pw_gid, found.pw_gid, found.pw_gid)
    os.setresuid(found.pw_uid, found.pw_uid, found.pw_uid)
    return f"uid {found.pw_uid}, {user}"


def renounce() -> None:
    """No capability, and none ever again; closed to debuggers.  Raises OSError, Unsupported."""
    kernel.prctl(_NO_NEW_PRIVS, 1)
    kernel.prctl(_DUMPABLE, 0)
    kernel.prctl(_AMBIENT, _CLEAR_ALL)
    header = _Header(_CAPABILITY_VERSION, 0)
    none = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, of 32 each, twice
    kernel.call("capset", ctypes.byref(header), ctypes.byref(none))


def die_with(parent: int) -> None:
    """Be killed when that process ends.  To be asked for again by whoever becomes another user."""
    kernel.prctl(_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
