r"""The ASCII block at the head of a spool file, and the words in it.

::

    SPOOL 1 20261121t053000z-d6m01v
    SIZE 000000048213
    SCAN -                                               (fixed width, overwritten in place)
    DATE 2026-11-21T05:30:00Z
    PEER 192.0.2.7 mail.example.org
    HELO mail.example.org
    PROT ESMTP
    FROM <alice@example.org>
    RCPT <bob@example.com>
    SENT <carol@example.com>
    BODY

Each line is a tag, a space and a value; lines end with LF.  SIZE counts the bytes after the BODY
line.  A recipient's tag is its state: RCPT (to do), LATE (to do, and the sender was told that it
takes long), SENT or FAIL.  Tags that are not named here belong to the recipient above them, or to
the message when there is none above, and are kept as they are.  Values that came from a peer are
xtext (RFC 3461 section 4: everything but printable ASCII, and ``+`` and ``=``, as ``+HH`` of its
UTF-8): no value can start a line of its own.

`parse` believes nothing: whatever is not exactly of this form is Corrupt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from spoolscan.errors import Corrupt
from spoolscan.queueid import QUEUE_ID

TODO: Final = "RCPT"
LATE: Final = "LATE"
SENT: Final = "SENT"
FAIL: Final = "FAIL"
_STATES: Final = (TODO, LATE, SENT, FAIL)
PENDING: Final = (TODO, LATE)

HEAD_LIMIT: Final = 4 * 1024 * 1024  # bytes; a thousand recipients with all parameters need less
_SCAN_WIDTH: Final = 32
_SIZE_WIDTH: Final = 12
_TAG: Final = re.compile(r"[A-Z][A-Z0-9]{3}")
_VALUE: Final = re.compile(r"[ -~]*")
_SCAN: Final = re.compile(r"(-|clean|unscannable|banned|infected|released)(?: tries=(\d{1,6}))?")
_TO_QUOTE: Final = re.compile(rb"[^!-*,-<>-~]")
_UNQUOTED: Final = re.compile(r"[!-*,-<>-~]*")
_QUOTED: Final = re.compile(rb"\+([0-9A-F]{2})")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_STAMP: Final = len("2026-11-21T05:30:00")


def xtext(value: str) -> str:
    """Quote as RFC 3461 section 4; an empty value becomes nothing."""
    if _UNQUOTED.fullmatch(value):
        return value
    raw = value.encode("utf-8", "surrogateescape")
    return _TO_QUOTE.sub(lambda byte: b"+%02X" % byte.group()[0], raw).decode("ascii")


def from_xtext(value: str) -> str:
    """Undo `xtext`."""
    raw = _QUOTED.sub(lambda code: bytes([int(code[1], 16)]), value.encode("ascii"))
    return raw.decode("utf-8", "surrogateescape")


def _word(value: str) -> str:
    """`xtext` where something has to stand: "-" for the empty value."""
    return {"": "-", "-": "+2D"}.get(value) or xtext(value)


@dataclass(frozen=True, slots=True)
class ScanMark:
    """What the scanner wrote: a verdict's name, "released", or "-"; and how often it was tried."""

    result: str = "-"
    tries: int = 0

    def __post_init__(self) -> None:
        if not _SCAN.fullmatch(str(self).rstrip(" ")):  # a longer one would overwrite what follows
            raise ValueError(f"not a SCAN line: {self}")

    def __str__(self) -> str:
        text = f"{self.result} tries={self.tries}" if self.tries else self.result
        return text.ljust(_SCAN_WIDTH)

    @property
    def clean(self) -> bool:
        return self.result == "clean"


@dataclass(frozen=True, slots=True)
class Recipient:
    """A forward-path without its angle brackets, its state, and what else is said of it."""

    address: str
    state: str = TODO
    extras: tuple[tuple[str, str], ...] = ()


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sent a message from where to whom.

    ``sender`` is the reverse-path without its angle brackets, "" for the null one.  ``arrived`` is
    in UTC, to the second.  ``extras`` are further (tag, value) lines; values are written as given,
    so what came from a peer goes through `xtext` first.
    """

    sender: str
    recipients: tuple[Recipient, ...]
    peer_address: str = ""
    peer_name: str = ""
    helo: str = ""
    protocol: str = ""
    arrived: datetime = field(default_factory=_now)
    scan: ScanMark = ScanMark()
    extras: tuple[tuple[str, str], ...] = ()

    def encode(self, queue_id: str, size: int) -> bytes:
        """The block, BODY line included.

        Raises ValueError where an extra line, or the whole, would not be read back as it is.
        """
        lines = [
            f"SPOOL 1 {queue_id}",
            f"SIZE {size:0{_SIZE_WIDTH}d}",
            f"SCAN {self.scan}",
            f"DATE {self.arrived.astimezone(UTC).isoformat()[:_STAMP]}Z",
            f"PEER {_word(self.peer_address)} {_word(self.peer_name)}",
            f"HELO {xtext(self.helo)}",
            f"PROT {xtext(self.protocol)}",
            *_extra_lines(self.extras),
            f"FROM <{xtext(self.sender)}>",
        ]
        for recipient in self.recipients:
            lines.append(f"{recipient.state} <{xtext(recipient.address)}>")
            lines.extend(_extra_lines(recipient.extras))
        lines.append("BODY\n")
        block = "\n".join(lines).encode("ascii")
        if len(block) > HEAD_LIMIT:
            raise ValueError(f"an envelope of {len(block)} bytes; allowed: {HEAD_LIMIT}")
        return block


def _extra_lines(extras: tuple[tuple[str, str], ...]) -> list[str]:
    for tag, value in extras:
        if not _TAG.fullmatch(tag) or tag in _KNOWN or not _VALUE.fullmatch(value):
            raise ValueError(f"not an envelope line: {tag!r} {value!r}")
    return [f"{tag} {value}" for tag, value in extras]


_KNOWN: Final = frozenset(
    {"SIZE", "SCAN", "DATE", "PEER", "HELO", "PROT", "FROM", "BODY", *_STATES}
)


@dataclass(frozen=True, slots=True)
class Head:
    """A parsed block, and where in the file its parts that change lie (offsets in bytes)."""

    queue_id: str
    size: int
    envelope: Envelope
    body_offset: int
    scan_offset: int
    recipient_offsets: tuple[int, ...]


SIZE_OFFSET: Final = len("SPOOL 1 00000000t000000z-000000\nSIZE ")


def size_field(size: int) -> bytes:
    """The digits that stand at `SIZE_OFFSET`."""
    return b"%0*d" % (_SIZE_WIDTH, size)


def parse(data: bytes) -> Head:
    """Read the block at the start of ``data``, which holds at least all of it.

    Raises Corrupt, with the number of the line that is wrong.
    """
    end = data.find(b"\nBODY\n")
    if end < 0:
        raise Corrupt("envelope: no BODY line; this is no spool file, or its head is cut")
    try:
        lines = data[:end].decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise Corrupt("envelope: bytes that are not ASCII before the BODY line") from error
    return _Reader(lines, end + len(b"\nBODY\n")).read()


_FIRST: Final = re.compile(rf"SPOOL 1 ({QUEUE_ID.pattern})")
_SIZE: Final = re.compile(rf"SIZE (\d{{{_SIZE_WIDTH}}})")
_MARK: Final = re.compile(rf"SCAN (.{{{_SCAN_WIDTH}}})")
_ARRIVED: Final = re.compile(r"DATE (\S+)")
_PEER: Final = re.compile(r"PEER (\S+) (\S+)")
_HELO: Final = re.compile(r"HELO (\S*)")
_PROTOCOL: Final = re.compile(r"PROT (\S*)")
_SENDER: Final = re.compile(r"FROM <(\S*)>")
_RECIPIENT: Final = re.compile(rf"({'|'.join(_STATES)}) <(\S*)>")


class _Reader:
    """Walks the lines once, in the order `Envelope.encode` writes them."""

    def __init__(self, lines: list[str], body_offset: int) -> None:
        self.lines = lines
        self.body_offset = body_offset
        self.index = 0
        self.offset = 0

    def read(self) -> Head:
        queue_id = self.match(_FIRST)[1]
        size = int(self.match(_SIZE)[1])
        scan_offset = self.offset + len("SCAN ")
        scan = self.scan(self.match(_MARK)[1])
        arrived = self.date(self.match(_ARRIVED)[1])
        peer = self.match(_PEER)
        peer_address, peer_name = self.word(peer[1]), self.word(peer[2])
        helo = self.text(self.match(_HELO)[1])
        protocol = self.text(self.match(_PROTOCOL)[1])
        extras = self.extras()
        sender = self.text(self.match(_SENDER)[1])
        recipients, offsets = self.recipients()
        if not recipients:
            raise Corrupt("envelope: no recipient")
        envelope = Envelope(
            sender, recipients, peer_address, peer_name, helo, protocol, arrived, scan, extras
        )
        return Head(queue_id, size, envelope, self.body_offset, scan_offset, offsets)

    def wrong(self) -> Corrupt:
        return Corrupt(f"envelope: line {self.index} is not of the form of a spool file")

    def match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        line = self.lines[self.index] if self.index < len(self.lines) else ""
        found = pattern.fullmatch(line)
        self.offset += len(line) + 1
        self.index += 1
        if found is None:
            raise self.wrong()
        return found

    def text(self, quoted: str) -> str:
        if _UNQUOTED.fullmatch(quoted):
            return quoted
        value = from_xtext(quoted)
        if xtext(value) != quoted:
            raise self.wrong()
        return value

    def word(self, quoted: str) -> str:
        if quoted == "-":
            return ""
        if _UNQUOTED.fullmatch(quoted):
            return quoted
        value = from_xtext(quoted)
        if _word(value) != quoted:
            raise self.wrong()
        return value

    def scan(self, text: str) -> ScanMark:
        found = _SCAN.fullmatch(text.rstrip(" "))
        if found is None:
            raise self.wrong()
        return ScanMark(found[1], int(found[2] or 0))

    def date(self, text: str) -> datetime:
        try:  # strptime takes longer than all the rest of the block
            return datetime.fromisoformat(text if _DATE.fullmatch(text) else "")
        except ValueError as error:
            raise self.wrong() from error

    def extras(self) -> tuple[tuple[str, str], ...]:
        found: list[tuple[str, str]] = []
        while self.index < len(self.lines):
            tag, space, value = self.lines[self.index].partition(" ")
            if tag in _KNOWN:
                break
            if not (space and _TAG.fullmatch(tag) and _VALUE.fullmatch(value)):
                self.index += 1
                raise self.wrong()
            self.offset += len(self.lines[self.index]) + 1
            self.index += 1
            found.append((tag, value))
        return tuple(found)

    def recipients(self) -> tuple[tuple[Recipient, ...], tuple[int, ...]]:
        found: list[Recipient] = []
        offsets: list[int] = []
        while self.index < len(self.lines):
            offsets.append(self.offset)
            line = self.match(_RECIPIENT)
            found.append(Recipient(self.text(line[2]), line[1], self.extras()))
        return tuple(found), tuple(offsets)
