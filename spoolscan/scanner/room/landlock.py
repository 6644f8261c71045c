"""Landlock: from here on, no file, no port, no signal.  landlock(7); Linux 5.13 or later.

The rule set handles every right that the kernel knows and grants none of them.  What is open
already stays open: that is how the room is handed its work.
"""

from __future__ import annotations

import ctypes
from typing import Final

from spoolscan.scanner.room import kernel

_VERSION: Final = 1  # LANDLOCK_CREATE_RULESET_VERSION
# The first ABI that knows them, and how many rights on files there are then.
_FILES: Final = ((1, 13), (2, 14), (3, 15), (5, 16))
_PORTS: Final = (4, 0b11)  # bind and connect by TCP
_SCOPES: Final = (6, 0b11)  # abstract unix sockets, and signals, of others


class _Ruleset(ctypes.Structure):
    """struct landlock_ruleset_attr; a kernel takes a longer one whose end is zero."""

    _fields_ = (
        ("files", ctypes.c_uint64),
        ("ports", ctypes.c_uint64),
        ("scopes", ctypes.c_uint64),
    )


def abi() -> int:
    """What the kernel has.  Raises Unsupported, and OSError where it has none or it is off."""
    return kernel.call("landlock_create_ruleset", None, ctypes.c_size_t(0), _VERSION)


def restrict() -> int:
    """Shut the calling thread in, for good; answers with the ABI.

    Needs no_new_privs.  Threads and processes begun afterwards are in it too.  Raises Unsupported
    and OSError.
    """
    version = abi()
    rules = _Ruleset(
        (1 << max(rights for since, rights in _FILES if since <= version)) - 1,
        _PORTS[1] if version >= _PORTS[0] else 0,
        _SCOPES[1] if version >= _SCOPES[0] else 0,
    )
    size = ctypes.c_size_t(ctypes.sizeof(rules))
    descriptor = kernel.call("landlock_create_ruleset", ctypes.byref(rules), size, 0)
    try:
        kernel.call("landlock_restrict_self", descriptor, 0)
    finally:
        kernel.call("close", descriptor)
    return version
