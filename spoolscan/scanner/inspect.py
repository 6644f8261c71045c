"""The heart: a message's bytes in, a Report out.  Touches no queue and sends nothing.

Two passes, as in 2001.  The first reads structure and names only and matches them against
``matches.bad``: a hit is BANNED, and nothing of the message is decoded.  The second decodes what
is not surely harmless, opens what it contains, matches the members' names too, and hands the
content to the engines.

Guarantees: linear work within the `Bounds`; what could not be read, or not to the end, is an
UNSCANNABLE finding and never silence; an engine that fails raises TemporaryFailure unless another
one has found something already.  Reading is iterative: nesting costs no stack.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from posixpath import basename

from spoolscan.scanner import declared, decode, mime, names, promise, triage, words
from spoolscan.scanner.bounds import Bounds, Budget, LimitReached
from spoolscan.scanner.content import sniff
from spoolscan.scanner.engines import Engine, Panel, Sample
from spoolscan.scanner.ignored import Ignored
from spoolscan.scanner.macros import MacroPolicy
from spoolscan.scanner.macros.score import Macros
from spoolscan.scanner.names import Names
from spoolscan.scanner.passwords import Keys
from spoolscan.scanner.patterns import Match, Patterns
from spoolscan.scanner.unpack import Member, unpack
from spoolscan.verdict import Cause, Doubt, Finding, Part, Report, Verdict

_SUBJECT = 2000  # bytes of a subject, and of a text, in which a password may be told
_TEXT = 65_536


@dataclass(frozen=True, slots=True)
class Tools:
    """What a message is judged by.

    ``backups`` are the engines asked when others fail; those ``out`` are not asked;
    ``engine_seconds`` is for all of them.  ``remarks`` are the causes of doubt that are noted and
    leave a message clean; ``passwords`` are tried on what is encrypted, beside the words of the
    message.  ``everything`` hands every part and the whole message to the engines; ``describe``
    decodes also the harmless parts and what a banned message holds, so that size and digest of each
    are told.
    """

    bad: Patterns
    doc: Patterns
    engines: Sequence[Engine]
    backups: Sequence[Engine] = ()
    out: frozenset[str] = frozenset()
    engine_seconds: float = math.inf
    ignored: Ignored = Ignored()
    bounds: Bounds = Bounds()
    remarks: frozenset[Cause] = frozenset()
    passwords: Sequence[str] = ()
    everything: bool = False
    describe: bool = False
    macros: MacroPolicy = MacroPolicy()

    def panel(self) -> Panel:
        return Panel(self.engines, self.backups, self.out, self.engine_seconds, self.ignored)


@dataclass(slots=True)
class Inspection:
    """A Report, and the decoded content it speaks of, for the quarantine."""

    report: Report = field(default_factory=Report)
    samples: list[Sample] = field(default_factory=list)


def inspect(data: bytes, tools: Tools) -> Inspection:
    """Judge one message (CRLF or LF line ends).  Raises TemporaryFailure where an engine failed."""
    reading = _Reading(tools)
    reading.read(data)
    inspection = reading.inspection
    if not reading.banned:
        samples = inspection.samples
        if tools.everything:
            samples = [Sample((), data), *samples]
        is_banned = inspection.report.verdict >= Verdict.BANNED
        findings = tools.panel().ask(samples, found=is_banned)
        inspection.report.findings += [*findings, *reading.said_of_twins(findings)]
    return inspection


@dataclass(slots=True)
class _Known:
    """Content that was looked into: where first, whether it was anybody's format, where again."""

    path: tuple[str, ...]
    opened: bool
    twins: list[tuple[str, ...]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Content:
    """Decoded bytes waiting to be looked into."""

    data: bytes
    path: tuple[str, ...]
    names: Names
    media_types: tuple[str, ...]
    depth: int
    rule: str | None
    around: frozenset[str | None] = frozenset()  # digests of what it lies in
    head: bytes | None = None  # for an encoded message or multipart: what stands above its body


@dataclass(frozen=True, slots=True)
class _Row:
    """A part found, its names, its path, and whether the reader has opened it itself."""

    part: mime.MimePart
    names: Names
    path: tuple[str, ...]
    opened: bool


class _Reading:
    """One message on its way through both passes."""

    def __init__(self, tools: Tools) -> None:
        self.tools = tools
        bounds = tools.bounds
        keys = Keys(tools.passwords, bounds.passwords, bounds.seconds / 4)
        self.budget = Budget(bounds, keys=keys)
        self.inspection = Inspection()
        self.report = self.inspection.report
        self.waiting: deque[_Content] = deque()
        self.doubted: set[Finding] = set()
        self.known: dict[str | None, _Known] = {}  # by digest
        self.banned = False
        self.macros = Macros()

    def read(self, data: bytes) -> None:
        try:
            self.message(data, (), 0)
            while self.waiting:
                item = self.waiting.popleft()
                if self.banned:
                    self.list_part(item.path, item.names, item.media_types, item.data, item.rule)
                else:
                    self.content(item)
        except LimitReached as limit:
            self.doubt(Doubt(Cause.LIMIT, str(limit)), ())
        self.report.findings += self.macros.findings(self.tools.macros)

    def message(self, data: bytes, base: tuple[str, ...], depth: int) -> None:
        """Structure and names of a message, then, where nothing is banned, its parts."""
        structure = mime.read(data, self.budget, depth)
        for doubt in structure.doubts:
            self.doubt(doubt, base)
        self.hear_subject(structure)
        rows = self.rows(structure, base)
        for row in rows:
            for doubt in row.names.doubts:
                self.doubt(doubt, row.path)
            self.match_bad(row.names, row.path)
        for row in rows:
            if row.opened and not row.names.readings:
                continue
            rule = None if self.banned else self.rule(row.names)
            if row.opened or (self.banned and not self.tools.describe):
                self.list_part(row.path, row.names, row.part.media_types, None, rule)
            else:
                self.part(data, row, depth, rule)

    def hear_subject(self, structure: mime.Structure) -> None:
        """It may tell the password of what is encrypted, as texts may."""
        for part in structure.parts[:1]:
            for header in part.headers:
                if header.name == "subject":
                    self.budget.keys.hear(words.decode_words(header.value[:_SUBJECT]))

    def rows(self, structure: mime.Structure, base: tuple[str, ...]) -> list[_Row]:
        """Each part with its names, and where it lies: through the messages around it."""
        parts = structure.parts
        first_inside: dict[int | None, mime.MimePart] = {}
        for part in parts:
            first_inside.setdefault(part.parent, part)
        rows: list[_Row] = []
        around: list[tuple[str, ...]] = []
        for index, part in enumerate(parts):
            inside = first_inside.get(index)
            carried = inside.headers if inside is not None and part.kind == "message" else ()
            part_names = names.of_part(part.headers, self.budget, carried)
            outside = base if part.parent is None else around[part.parent]
            label = part_names.readings[0] if part_names.readings else f"part {part.number}"
            rows.append(_Row(part, part_names, (*outside, label), inside is not None))
            around.append(rows[-1].path if part.kind == "message" else outside)
        return rows

    def part(self, data: bytes, row: _Row, depth: int, rule: str | None) -> None:
        """Decode one part in every reading, and queue what is worth a look."""
        part, path = row.part, row.path
        decoded, doubts = decode.transfer(data[part.start : part.end], part.encodings, self.budget)
        for doubt in doubts:
            self.doubt(doubt, path)
        head = _head(part) if part.kind == "message" else None
        depth += part.number.count(".")
        for number, reading in enumerate(decoded):
            where = path if number == 0 else (*path[:-1], f"{path[-1]} ({reading.how})")
            self.waiting.append(
                _Content(reading.data, where, row.names, part.media_types, depth, rule, head=head)
            )
        if any(kind.startswith("text/") for kind in part.media_types):
            self.budget.keys.hear(words.text(decoded[0].data[:_TEXT]))
            for text in declared.recoded(part.headers, decoded[0].data, self.budget):
                where = (*path[:-1], f"{path[-1]} (in UTF-8)")
                self.budget.keys.hear(text[:_TEXT].decode("utf-8", "replace"))
                self.waiting.append(_Content(text, where, row.names, part.media_types, depth, rule))

    def content(self, item: _Content) -> None:
        """Decide whether decoded bytes are harmless; if not: keep, open, and look inside."""
        self.budget.check_time()
        rule = item.rule or triage.suspicion(item.data, item.names.readings, item.media_types)
        digest = self.list_part(item.path, item.names, item.media_types, item.data, rule)
        self.macros.look(item.data, item.path)
        if rule is None and item.head is None and not self.tools.everything:
            return
        self.budget.check_depth(item.depth + 1)
        if digest in item.around:
            self.doubt(Doubt(Cause.LIMIT, "it holds itself, and so on without end"), item.path)
            return
        if item.head is not None or triage.is_message(item.data, item.media_types):
            self.message((item.head or b"") + item.data, item.path, item.depth + 1)
        if digest in self.known:  # all that is in it was found the first time
            self.known[digest].twins.append(item.path)
        else:
            self.known[digest] = _Known(item.path, self.look_into(item, digest))
        broken = promise.broken(item.data, item.names.readings)
        if broken is not None and not self.known[digest].opened:
            self.doubt(broken, item.path)

    def said_of_twins(self, findings: Sequence[Finding]) -> list[Finding]:
        """What engines found in content is found in it wherever it lies."""
        twins = {known.path: known.twins for known in self.known.values() if known.twins}
        return [
            replace(finding, path=path)
            for finding in findings
            for path in twins.get(finding.path, ())
        ]

    def look_into(self, item: _Content, digest: str | None) -> bool:
        """Hand it to the engines and the unpackers; whether one of these knew it."""
        self.inspection.samples.append(Sample(item.path, item.data))
        opened = False
        for found in unpack(item.data, self.budget):
            opened = True
            if isinstance(found, Doubt):
                self.doubt(found, item.path)
            else:
                self.member(found, item, digest)
        return opened

    def member(self, member: Member, parent: _Content, digest: str | None) -> None:
        member_names = names.of_member(member.name, self.budget)
        path = (*parent.path, member_names.readings[0] if member_names.readings else "unnamed")
        for doubt in member_names.doubts:
            self.doubt(doubt, path)
        self.match_bad(member_names, path)
        if not member.opened:
            self.list_part(path, member_names, (), None, self.rule(member_names))
            return
        self.waiting.append(
            _Content(
                *(member.data, path, member_names, (), parent.depth + 1, self.rule(member_names)),
                around=parent.around | {digest},
            )
        )

    def match_bad(self, part_names: Names, path: tuple[str, ...]) -> None:
        match = self.tools.bad.first(part_names.lines)
        if match is not None:
            self.banned = True
            self.report.findings.append(
                Finding(Verdict.BANNED, path, _line(match), basename(match.source))
            )

    def rule(self, part_names: Names) -> str | None:
        """The line of matches.doc that makes a part worth decoding."""
        match = self.tools.doc.first(part_names.lines)
        return None if match is None else f"{basename(match.source)} {_line(match)}"

    def doubt(self, doubt: Doubt, path: tuple[str, ...]) -> None:
        remark = doubt.cause in self.tools.remarks
        finding = Finding.of_doubt(doubt, path, remark=remark)
        if finding not in self.doubted:
            self.doubted.add(finding)
            self.report.findings.append(finding)

    def list_part(
        self,
        path: tuple[str, ...],
        part_names: Names,
        media_types: tuple[str, ...],
        data: bytes | None,
        rule: str | None,
    ) -> str | None:
        """Put a part into the report; its digest."""
        digest = None if data is None else hashlib.sha256(data).hexdigest()
        told = media_types[0] if media_types else ""
        self.report.parts.append(
            Part(
                number=len(self.report.parts) + 1,
                path=path,
                names=part_names.readings,
                media_type=told or ("" if data is None else sniff(data)),
                size=None if data is None else len(data),
                sha256=digest,
                suspicious=rule,
            )
        )
        return digest


def _line(match: Match) -> str:
    return f"line {match.line}: {match.pattern}"


def _head(part: mime.MimePart) -> bytes:
    """What makes a message of a decoded part: nothing, or for a multipart its Content-Type."""
    if any(kind.startswith("message/") for kind in part.media_types):
        return b""
    lines = (header.raw for header in part.headers if header.name == "content-type")
    return b"\r\n".join((*lines, b"", b""))
