"""Globs and regular expressions over names and addresses, matched in linear time (RE2).

Both ignore case.  A glob's only sign is ``*``, for any characters or none; it has to fit the whole
text, where a regular expression is searched in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import re2

from spoolscan.receiver.rules.scan import Mistake, Token, closing

Fits = Callable[[str], bool]

_MEMORY: Final = 1 << 20  # bytes that RE2 may take for one pattern


def is_regex(text: str) -> bool:
    """Whether it is one expression between slashes; `scan` has seen to it that they close."""
    return text.startswith("/") and closing(text, 0, "/", "") == len(text) - 1


def pattern(word: Token) -> Fits:
    """``ALL``, ``/regex/``, a glob or plain text.  Raises Mistake."""
    text = word.text
    if text == "ALL":
        return lambda _: True
    if is_regex(text):
        return _regex(text[1:-1], word.column)
    if "*" in text:
        return _glob(text.lower())
    wanted = text.lower()
    return lambda found: found == wanted


def _regex(text: str, column: int) -> Fits:
    if not text:
        raise Mistake("an empty regular expression; ALL stands for everything", column)
    compiled = _compiled(f"(?i){text}", column + 1)
    return lambda found: compiled.search(found) is not None


def _glob(text: str) -> Fits:
    compiled = _compiled("(?s)" + ".*".join(map(re2.escape, text.split("*"))), 0)
    return lambda found: compiled.fullmatch(found) is not None


def _compiled(expression: str, column: int) -> Any:
    options = re2.Options()
    options.max_mem = _MEMORY
    options.never_capture = True
    options.log_errors = False
    try:
        return re2.compile(expression, options)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error.args[0]
        raise Mistake(f"not a regular expression of RE2: {reason}", column) from error
