"""Lists of SHA-256, a line each as sha256sum(1) writes it: ``HEX  NAME``, the name optional.

What begins with ``#`` is a comment.  A line of memory is about 200 bytes, in each worker.
"""

from __future__ import annotations

import re
from typing import Final

from spoolscan.errors import ConfigError

_LINE: Final = re.compile(rb"([0-9a-fA-F]{64})(?:[ \t]+\*?([!-~][ -~]{0,99}))?")
_NAMELESS: Final = "Known-SHA256"


def parse(content: bytes, path: str) -> dict[bytes, str]:
    """Names by the hash in bytes.  Raises ConfigError with the line that is none."""
    found: dict[bytes, str] = {}
    for number, line in enumerate(content.split(b"\n"), 1):
        words = line.strip()
        if not words or words.startswith(b"#"):
            continue
        match = _LINE.fullmatch(words)
        if match is None:
            raise ConfigError(f"{path}:{number}: not a SHA-256 of 64 digits, a blank and a name")
        name = match[2].decode("ascii") if match[2] else _NAMELESS
        found[bytes.fromhex(match[1].decode("ascii"))] = name
    return found
