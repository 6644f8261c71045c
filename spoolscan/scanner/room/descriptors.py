"""What is open in a process that was forked: nothing but what it was forked for."""

from __future__ import annotations

import os
from collections.abc import Sequence


def keep(*kept: int, instead: Sequence[int] = (0, 1)) -> None:
    """Close all but these and the standard ones, of which some are /dev/null ``instead``.

    Raises OSError.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in instead:
        os.dup2(nothing, standard)
    before = 2
    for number in sorted(kept):
        os.closerange(before + 1, number)
        before = number
    os.closerange(before + 1, os.sysconf("SC_OPEN_MAX"))
