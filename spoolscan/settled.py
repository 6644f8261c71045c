"""What a process has loaded stays for good: it is told so, once, before it begins its work."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress


def settle() -> None:
    """Nothing of it is looked through for garbage again, and what was free by then is given back.

    To load settings, patterns and rules takes more memory than to have them; glibc keeps it all
    (malloc_trim(3)), other C libraries have no such call.
    """
    gc.collect()
    gc.freeze()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
