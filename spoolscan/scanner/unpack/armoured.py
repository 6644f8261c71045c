"""Files clothed as text (uuencode, yEnc, BinHex) as members, several to a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from spoolscan.scanner.armour import Block, binhex, uu, yenc
from spoolscan.scanner.bounds import Budget
from spoolscan.scanner.unpack.seam import Member, text
from spoolscan.verdict import Doubt


@dataclass(frozen=True, slots=True)
class Armoured:
    """One kind of armour: how a block begins, roughly and exactly, and who reads the blocks."""

    name: str
    trace: bytes
    begin: re.Pattern[bytes]
    blocks: Callable[[bytes, Budget], Iterator[Block]]

    def recognises(self, data: bytes) -> bool:
        return self.begin.search(data) is not None

    def members(self, data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
        for block in self.blocks(data, budget):
            yield Member(text(block.name), block.data)


UU: Final = Armoured("uuencode", rb"begin[ \t-]", uu.BEGIN, uu.blocks)
YENC: Final = Armoured("yEnc", rb"=ybegin[ \t]", yenc.BEGIN, yenc.blocks)
BINHEX: Final = Armoured("BinHex", b"converted with BinHex", binhex.BEGIN, binhex.blocks)
