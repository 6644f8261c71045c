"""The message's bytes on their way out: canonical, and dot-stuffed, in chunks of any size.

What leaves here cannot be read as two messages by any server: every CR is followed by LF, every
LF follows a CR, there is no NUL, and every line that starts with a dot has it doubled (RFC 5321
section 4.5.2).  Bytes that are not so are refused with Corrupt, never mended: what was scanned is
what is forwarded.  Constant memory; a few searches at C speed for each chunk.
"""

from __future__ import annotations

from spoolscan.errors import Corrupt


class Canonical:
    """Passes chunks through unchanged, each CRLF whole within one chunk, or raises Corrupt."""

    def __init__(self) -> None:
        self._held = b""
        self.at_line_start = True

    def feed(self, chunk: bytes) -> bytes:
        """The next bytes; a CR at the very end waits for the chunk after it.  Raises Corrupt."""
        chunk = self._held + chunk
        self._held = b""
        if chunk.endswith(b"\r"):
            self._held = b"\r"
            chunk = chunk[:-1]
        pairs = chunk.count(b"\r\n")
        if chunk.count(b"\r") != pairs or chunk.count(b"\n") != pairs:
            raise Corrupt("the message has a CR or LF that stands alone; its lines must end CRLF")
        if b"\0" in chunk:
            raise Corrupt("the message has a NUL byte, which SMTP cannot carry")
        if chunk:
            self.at_line_start = chunk.endswith(b"\n")
        return chunk

    def finish(self) -> bytes:
        """What completes the last line: nothing, or CRLF.  Raises Corrupt."""
        if self._held:
            raise Corrupt("the message ends with a CR that stands alone")
        return b"" if self.at_line_start else b"\r\n"


class DotStuffer:
    """Makes the DATA of SMTP."""

    def __init__(self) -> None:
        self._canonical = Canonical()

    def feed(self, chunk: bytes) -> bytes:
        """Raises Corrupt."""
        at_line_start = self._canonical.at_line_start
        data = self._canonical.feed(chunk)
        stuffed = data.replace(b"\r\n.", b"\r\n..")
        return b"." + stuffed if at_line_start and data.startswith(b".") else stuffed

    def finish(self) -> bytes:
        """What completes the message, final dot included.  Raises Corrupt."""
        return self._canonical.finish() + b".\r\n"
