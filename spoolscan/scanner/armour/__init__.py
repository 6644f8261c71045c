"""Files clothed as text: uuencode, yEnc and BinHex, wherever in a text they stand.

Mail clients show such a block as an attachment, whatever the part around it says of itself.  Each
module here finds and decodes one kind; all take bytes and give `Block`.

Guarantees: linear time; never raises but LimitReached; a block that ends early, or has broken
lines, gives what it holds.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Block:
    """``name`` is as the block gives it, bytes and all; ``start`` is an offset into the text."""

    name: bytes
    data: bytes
    start: int
