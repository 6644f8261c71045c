"""The message under way: its bytes made canonical, and every reason not to take it.

A message that is refused is read on to its true end, giving nothing; ``endless`` says when one has
gone on for so long that hanging up is better.
"""

from __future__ import annotations

from spoolscan.receiver.dotted import Dotted
from spoolscan.receiver.events import Terms
from spoolscan.receiver.hops import HopCounter
from spoolscan.receiver.reply import LOOP, OWN_LOOP, TOO_BIG, Reply


class Inbound:
    """``refusal`` is None while the message is acceptable."""

    __slots__ = ("_dotted", "_dropped", "_hops", "_size", "_terms", "refusal")

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._dotted = Dotted(terms.bare_lf)
        self._hops = HopCounter(terms.host)
        self._size = 0
        self._dropped = 0
        self.refusal: Reply | None = None

    def feed(self, data: bytes) -> bytes:
        """Take a segment; give what of the message is certain by now, canonical."""
        chunk = self._dotted.feed(data)
        if self.refusal is not None:
            self._dropped += len(data)
            return b""
        self._size += len(chunk)
        self.refusal = self._objection(chunk)
        return b"" if self.refusal is not None else chunk

    @property
    def ended(self) -> bool:
        return self._dotted.ended

    @property
    def rest(self) -> bytes:
        """What came behind the end."""
        return self._dotted.rest

    @property
    def endless(self) -> bool:
        return self._dropped > self._terms.message_bytes

    def _objection(self, chunk: bytes) -> Reply | None:
        if self._dotted.fault:
            return Reply(554, "5.6.0", f"message not accepted: {self._dotted.fault} in it")
        if self._size > self._terms.message_bytes:
            return TOO_BIG
        if self._hops.feed(chunk) > self._terms.hops:
            return LOOP
        if self._hops.own > self._terms.own_hops:
            return OWN_LOOP
        return None
