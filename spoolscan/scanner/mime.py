"""The parts of a message, in every reading a mail client could make of its bytes.

`read` finds parts by offset and copies no body.  A part is what stands between two lines made of
``--`` and the boundary of a header above; where several boundaries, types or header ends can be
read, each is tried and the union of the parts is given.  What no header declares is looked for as
well: a line of dashes with a ``Content-`` field below it opens a part of kind "raw".

============  =====================================================================================
kind          what it is
============  =====================================================================================
"leaf"        content, under its header
"multipart"   holds the parts that name it as parent
"message"     a message/*, or a multipart under a transfer encoding.  Not encoded, its message is
              the part below it; encoded, the caller decodes it, judges what that gives as content,
              and reads it as a message.
"preamble"    before the first part of a multipart, without a header, in the multipart's encoding
"epilogue"    behind the last one
"raw"         content that no header declares
============  =====================================================================================

The message itself is number "1", its parts "1.1", "1.2"; a second reading of the same bytes ends
in a letter ("1b", "1.1b"), a preamble is "1.0", an epilogue "1.2e", undeclared ones "1.r1".

Guarantees: iterative; time linear in the message; the bounds of the budget; never raises.
How it fails: LIMIT where a bound was met (the parts so far are given), AMBIGUOUS where two readings
lead to different parts, UNREADABLE where the content is not in the message.
Never: decodes a body, or says a word of the sender's.

Sources: RFC 2045, 2046, 5322; for what senders do to them, Steffen Ullrich's mime-is-broken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from spoolscan.scanner import declared, delimiters
from spoolscan.scanner import headers as header_fields
from spoolscan.scanner.bounds import Budget, LimitReached
from spoolscan.scanner.delimiters import WHITE, Line
from spoolscan.scanner.headers import Block, Header
from spoolscan.verdict import Cause, Doubt

__all__ = ["Header", "MimePart", "Structure", "read"]


@dataclass(frozen=True, slots=True)
class MimePart:
    """One part in one reading; ``start`` and ``end`` are the offsets of its body."""

    number: str
    parent: int | None
    kind: str
    headers: tuple[Header, ...]
    start: int
    end: int
    media_types: tuple[str, ...]
    encodings: tuple[str, ...]


@dataclass(slots=True)
class Structure:
    """The parts in document order, the message itself first, and what is in doubt."""

    parts: list[MimePart]
    doubts: list[Doubt]


def read(data: bytes, budget: Budget, depth: int = 0) -> Structure:
    """Every part of the message in the bytes, which lies that deep in another."""
    reader = _Reader(data, budget, depth)
    try:
        reader.run()
    except LimitReached as limit:
        reader.doubt(Cause.LIMIT, str(limit))
    return Structure(reader.parts, list(reader.doubts))


_SEARCHES = 32  # times the bytes of a message may be searched, all overlapping readings together


@dataclass(slots=True)
class _Item:
    """Bytes still to be read: "entity" is a header and a body, else the kind of a bare part."""

    kind: str
    start: int
    end: int
    number: str
    parent: int | None = None
    depth: int = 0
    digest: bool = False  # in a multipart/digest, where a part is a message unless it says
    undeclared: bool = False
    encodings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Entity:
    """An item whose header has been read."""

    item: _Item
    block: Block
    types: tuple[str, ...]
    encodings: tuple[str, ...]

    @property
    def encoded(self) -> bool:
        return not declared.IDENTITY.issuperset(self.encodings)


@dataclass(slots=True)
class _Reader:
    data: bytes
    budget: Budget
    depth: int
    parts: list[MimePart] = field(default_factory=list)
    doubts: dict[Doubt, None] = field(default_factory=dict)
    items: list[_Item] = field(default_factory=list)
    starts: set[int] = field(default_factory=set)
    searched: int = 0
    bare: bool | None = None

    def run(self) -> None:
        self.items.append(_Item("entity", 0, len(self.data), "1", depth=self.depth))
        while self.items:
            item = self.items.pop()
            if item.kind != "entity":
                bare = _Entity(item, Block((), item.start), (), item.encodings)
                self.add(bare, item.kind, item.start)
            elif not (item.undeclared and item.start in self.starts):
                self.starts.add(item.start)
                self.entity(item)

    def doubt(self, cause: Cause, reason: str) -> None:
        self.doubts[Doubt(cause, reason)] = None

    def add(self, entity: _Entity, kind: str, start: int, suffix: str = "") -> int:
        """Put a part down; what is content in it is searched for undeclared parts."""
        item, undeclared = entity.item, entity.item.undeclared
        part = MimePart(
            number=item.number + suffix,
            parent=item.parent,
            kind="raw" if kind == "leaf" and undeclared else kind,
            headers=entity.block.headers,
            start=min(start, item.end),
            end=item.end,
            media_types=entity.types,
            encodings=entity.encodings,
        )
        self.parts.append(part)
        self.budget.take_part()
        index = len(self.parts) - 1
        if kind in ("leaf", "preamble", "epilogue") and not undeclared:
            self.find_undeclared(item, index, part.start)
        return index

    def entity(self, item: _Item) -> None:
        self.budget.check_depth(item.depth)
        bounds = self.budget.bounds
        block = header_fields.read(self.data, item.start, item.end, bounds)
        self.doubts.update(dict.fromkeys(block.doubts))
        if item.undeclared and not any(h.name.startswith("content-") for h in block.headers):
            return
        types = declared.media_types(block.headers)
        entity = _Entity(item, block, types, declared.encodings(block.headers))
        if len(types) > 1:
            self.doubt(Cause.AMBIGUOUS, "several media types for one part")
        if len([name for name in entity.encodings if name in declared.KNOWN]) > 1:
            self.doubt(Cause.AMBIGUOUS, "several transfer encodings for one part")
        if readings := self.splits(entity):
            self.multipart(entity, readings)
        elif any(kind.startswith("message/") for kind in types) or (item.digest and not types):
            self.message(entity)
        else:
            self.leaf(entity)

    def splits(self, entity: _Entity) -> list[list[Line]]:
        """The delimiter lines of each boundary that occurs, each different set of lines once."""
        boundaries, doubts = declared.boundaries(entity.block.headers, self.budget)
        self.doubts.update(dict.fromkeys(doubts))
        exact: dict[tuple[int, ...], list[Line]] = {}
        prefix: dict[tuple[int, ...], list[Line]] = {}
        most = 2 * self.budget.bounds.parts
        for boundary in boundaries:
            lines = self.delimiters(boundary, entity)
            if lines.cut:
                self.doubt(Cause.LIMIT, f"more than {most} lines like a boundary")
            for found, kind in ((lines.exact, exact), (lines.prefix if boundary else [], prefix)):
                if found:
                    kind.setdefault(tuple(line.start for line in found), found)
        if prefix and not exact:
            self.doubt(Cause.AMBIGUOUS, "a boundary occurs only as the beginning of another")
            exact = prefix
        if len(exact) > 1:
            self.doubt(Cause.AMBIGUOUS, "several boundaries for one part")
        return list(exact.values())

    def delimiters(self, boundary: bytes, entity: _Entity) -> delimiters.Lines:
        block, end = entity.block, entity.item.end
        start = block.body if block.early is None else min(block.early, block.body)
        # Readings overlap: counting what they search keeps them linear all together.
        self.searched += end - start
        if self.searched > _SEARCHES * (len(self.data) + 4096):
            self.doubt(Cause.LIMIT, "too many readings of the same bytes")
            return delimiters.Lines()
        if self.bare is None:
            self.bare = self.data.find(b"\r--") >= 0
        most = 2 * self.budget.bounds.parts
        return delimiters.find(self.data, boundary, start, end, most, bare=self.bare)

    def multipart(self, entity: _Entity, readings: Sequence[Sequence[Line]]) -> None:
        item, block, types = entity.item, entity.block, entity.types
        index = self.add(entity, "multipart", block.body)
        if not types or not all(kind.startswith("multipart/") for kind in types):
            self.doubt(Cause.AMBIGUOUS, "parts under a type that is not multipart")
            self.add(entity, "leaf", block.body, "b")
        children: list[_Item] = []
        for count, lines in enumerate(readings):
            suffix = chr(ord("a") + min(count, 25)) if count else ""
            for child in self.children(entity, lines):
                child.number = f"{item.number}.{child.number}{suffix}"
                child.parent = index
                child.depth = item.depth + 1
                child.undeclared = item.undeclared
                children.append(child)
        self.items.extend(reversed(children))

    def children(self, entity: _Entity, lines: Sequence[Line]) -> Iterable[_Item]:
        """What stands before, between and behind the delimiter lines."""
        body, end = entity.block.body, entity.item.end
        digest = "multipart/digest" in entity.types
        if self.data[body : lines[0].start].strip(WHITE):
            encodings = entity.encodings if entity.encoded else ()
            yield _Item("preamble", body, lines[0].start, "0", encodings=encodings)
        count, closed = 0, False
        stops = [line.start for line in lines[1:]]
        for line, limit in zip(lines, [*stops, end], strict=True):
            stop = max(limit, line.next)
            if line.closes:
                closed = True
                if self.data[line.next : stop].strip(WHITE):
                    yield _Item("epilogue", line.next, stop, f"{count}e")
                continue
            if closed:
                self.doubt(Cause.AMBIGUOUS, "parts behind the end of a multipart")
            count += 1
            yield _Item("entity", line.next, stop, str(count), digest=digest)

    def message(self, entity: _Entity) -> None:
        item, block, types = entity.item, entity.block, entity.types
        index = self.add(entity, "message", block.body)
        if "message/partial" in types:
            self.doubt(Cause.UNREADABLE, "a fragment of a message, the rest is in other mails")
        if "message/external-body" in types:
            self.doubt(Cause.UNREADABLE, "the content of a part is outside the message")
        start = delimiters.behind_empty_lines(self.data, block.body, item.end)
        # Clients differ on whether a message can be encoded: a header in clear says it is not.
        if entity.encoded and not header_fields.starts_like_header(self.data, start, item.end):
            return
        below = _Item("entity", start, item.end, f"{item.number}.1", index, item.depth + 1)
        below.undeclared = item.undeclared
        self.items.append(below)

    def leaf(self, entity: _Entity) -> None:
        item, block, types = entity.item, entity.block, entity.types
        kind = "leaf"
        if any(name.startswith("multipart") for name in types):
            if entity.encoded or self.data.find(b"\n--", max(block.body - 1, 0), item.end) >= 0:
                self.doubt(Cause.AMBIGUOUS, "a multipart without its boundary")
            kind = "message" if entity.encoded else "leaf"
        self.add(entity, kind, block.body)
        if not block.headers:
            self.header_behind_empty_lines(item, block.body)
        early = block.early
        if early is not None and self.data[early : block.body].strip(WHITE):
            if not header_fields.goes_on(self.data, early, block.body):
                self.doubt(Cause.AMBIGUOUS, "a header that may end at two places")
            self.add(entity, kind, early, "b")

    def header_behind_empty_lines(self, item: _Item, start: int) -> None:
        """Queue what some clients read where a part begins with empty lines and then a header."""
        place = delimiters.behind_empty_lines(self.data, start, item.end)
        if header_fields.starts_like_header(self.data, place, item.end):
            below = _Item("entity", place, item.end, f"{item.number}.r0", len(self.parts) - 1)
            below.depth, below.undeclared = item.depth + 1, True
            self.items.append(below)

    def find_undeclared(self, item: _Item, index: int, start: int) -> None:
        """Queue what lines that no header declares open in this content."""
        most = self.budget.bounds.parts
        found = delimiters.undeclared(self.data, start, item.end, most)
        if not found:
            return
        if len(found) > most:
            self.doubt(Cause.LIMIT, f"more than {most} lines like a boundary")
        children = [
            _Item("entity", place, stop, f"{item.number}.r{count}", index, item.depth + 1)
            for count, (place, stop) in enumerate(found, start=1)
        ]
        for child in children:
            child.undeclared = True
        self.items.extend(reversed(children))
