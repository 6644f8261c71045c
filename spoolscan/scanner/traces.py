"""Which of many traces stand anywhere in some bytes, told in one pass for all of them.

What lies behind a picture, a program or a text can begin anywhere, so each format would be a search
through all the bytes; most hold none.  A trace is a pattern of re2 for bytes as they are (Latin-1);
it may promise too much, never too little: who looks closer does so where his trace stands.

Never raises, whatever the bytes; linear, as re2's automaton is (Cox, "Regular Expression Matching
in the Wild", 2010).
"""

from __future__ import annotations

from collections.abc import Sequence

import re2


class Traces:
    """A set of traces, each known by its place in ``patterns``."""

    def __init__(self, patterns: Sequence[bytes]) -> None:
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        self._set = re2.Set.SearchSet(options)
        for pattern in patterns:
            self._set.Add(pattern)
        self._set.Compile()

    def seen(self, data: bytes) -> Sequence[int]:
        """The places of those that stand in ``data``."""
        return self._set.Match(data) or ()
