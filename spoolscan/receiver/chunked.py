"""The body of BDAT: chunks of a stated length, in the canonical form that the spool stores.

Guarantees (RFC 3030; against smuggling):

- a chunk ends where its length says, and at nothing else: no byte of it is ever a command;
- what comes out has CRLF line ends only and no NUL, as if it had come by DATA (`dotted`), but dots
  mean nothing here.  A CRLF may be cut in two by the end of a chunk.  A last line without its end
  is given one, as DATA would have had to (signatures allow for that: RFC 6376 3.4.3);
- a bare CR, a NUL, and (unless told to normalise) a bare LF is a ``fault``: no BINARYMIME.
"""

from __future__ import annotations

from spoolscan.receiver.dotted import BareLF, canonical


class Chunked:
    """One message body under way.

    ``wanted`` is how many bytes of the chunk announced have not come, ``ended`` says that the last
    one is complete; ``fault`` is empty, or says in our words what makes the message unacceptable.
    """

    __slots__ = ("_bare_lf", "_held", "_last", "_whole_line", "ended", "fault", "wanted")

    def __init__(self, bare_lf: BareLF) -> None:
        self._bare_lf = bare_lf
        self._held = b""  # a CR whose LF may come
        self._last = False
        self._whole_line = True
        self.wanted = 0
        self.ended = False
        self.fault = ""

    def expect(self, size: int, *, last: bool) -> None:
        """Another chunk is announced, of so many bytes."""
        self.wanted = size
        self._last = last

    def feed(self, data: bytes) -> bytes:
        """Take at most ``wanted`` bytes, give what of the message is certain by now.

        Once at fault it gives nothing more.
        """
        text = self._held + data
        self.wanted -= len(data)
        self.ended = self._last and not self.wanted
        self._held = b"\r" if text.endswith(b"\r") and not self.ended else b""
        if self.fault:
            return b""
        text, self.fault = canonical(text.removesuffix(self._held), self._bare_lf)
        if self.fault:
            return b""
        if text:
            self._whole_line = text.endswith(b"\n")
        return text if self._whole_line or not self.ended else text + b"\r\n"
