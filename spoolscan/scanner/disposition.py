"""What becomes of a message once its Report is there.

========================  ===================================================================
verdict                   goes to
========================  ===================================================================
clean                     outgoing/
unscannable               by its cause's setting: hold/, quarantine/, or outgoing/ unmarked
banned, infected          quarantine/DATE/, with the decoded parts as far as they are not out of
                          all proportion; the administrator is told
========================  ===================================================================

The notice is posted before the message is moved: a crash between costs a second notice, never a
silent quarantine.  A note to the sender goes only to a sender of the site's own domains whose mail
came from its own networks: any other address may be forged (backscatter).
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Final

from spoolscan import log
from spoolscan.config import Config
from spoolscan.envelope import Envelope, ScanMark
from spoolscan.notices import Templates
from spoolscan.scanner.answer import DecodedPart
from spoolscan.scanner.teller import Teller
from spoolscan.spool import Message, Spool
from spoolscan.verdict import Cause, Report, Verdict

STAGE: Final = "scanner"
_GRAVITY: Final = ("note", "pass", "hold", "quarantine")
# Decoded parts beside a quarantined message: so many times its size, and so many bytes anyway.
_DECODED_RATIO: Final = 10
_DECODED_BYTES: Final = 65_536
_FILE: Final = 256  # bytes that a file takes at least, so that they are not endless either
_MOST_TOLD: Final = 200  # findings, and parts, of one message in the journal


@dataclass(frozen=True, slots=True)
class Fate:
    """The state a message goes to, and what its SCAN line will say."""

    state: str
    mark: str


@dataclass(frozen=True, slots=True)
class Trail:
    """When a message was claimed, and judged (`time.monotonic`), and by which engines.

    ``engines`` are the versions, by name, of those that saw something of it.
    """

    claimed: float
    judged: float
    engines: Mapping[str, str]

    def told(self) -> dict[str, Any]:
        """For the journal, now that it is where it belongs."""
        now = time.monotonic()
        steps = {"read and scanned": self.judged - self.claimed, "set in place": now - self.judged}
        return {
            "seconds": round(now - self.claimed, 4),
            "step": [f"{name}: {seconds:.4f} s" for name, seconds in steps.items()],
            "engine": [f"{name}: {version}" for name, version in self.engines.items()],
        }


def decide(report: Report, policy: Mapping[Cause, str]) -> Fate:
    """Pure: the table above.  Among several causes the gravest setting wins."""
    verdict = report.verdict
    if verdict is Verdict.CLEAN:
        return Fate("outgoing", "clean")
    if verdict is not Verdict.UNSCANNABLE:
        return Fate("quarantine", str(verdict))
    words = [policy[cause] for finding in report.findings if (cause := finding.cause)]
    word = max(words, key=_GRAVITY.index)
    return Fate("outgoing" if word == "pass" else word, str(verdict))


class Disposer:
    """Carries a fate out.  One for the daemon; not thread-safe for one message."""

    def __init__(self, spool: Spool, config: Config, templates: Templates, teller: Teller) -> None:
        self._spool = spool
        self._config = config
        self._templates = templates
        self._teller = teller
        self._networks = [ipaddress.ip_network(network) for network in config.site.networks]
        scanner = config.scanner
        self._policy = {
            Cause.LIMIT: scanner.limit,
            Cause.DECEPTIVE: scanner.deceptive,
            Cause.AMBIGUOUS: scanner.ambiguous,
            Cause.UNREADABLE: scanner.unreadable,
            Cause.UNOPENED: scanner.unopened,
            Cause.ENCRYPTED: scanner.encrypted,
            Cause.UNLOCKED: scanner.unlocked,
            Cause.SEALED: scanner.sealed,
        }

    def fate(self, report: Report) -> Fate:
        """What `dispose` will do."""
        return decide(report, self._policy)

    def dispose(
        self,
        message: Message,
        report: Report,
        parts: Sequence[DecodedPart] = (),
        trail: Trail | None = None,
    ) -> Fate:
        """Move the message where its report says.  Raises Gone, TemporaryFailure, ConfigError."""
        fate = self.fate(report)
        tries = message.envelope.scan.tries
        message.mark_scan(ScanMark(fate.mark, tries))
        if fate.state == "outgoing":
            message.move("outgoing")
        else:
            self._set_aside(message, report, parts, fate)
        log.event(
            STAGE,
            message.id,
            event="judged",
            verdict=report.verdict,
            to=fate.state,
            parts=len(report.parts),
            found=", ".join(finding.name for finding in report.findings[:5]) or "-",
            detail=self._detail(message, report, trail),
        )
        return fate

    def _set_aside(
        self, message: Message, report: Report, parts: Sequence[DecodedPart], fate: Fate
    ) -> None:
        day = datetime.now(UTC).strftime("%Y-%m-%d")
        place = f"quarantine/{day}" if fate.state == "quarantine" else "hold"
        files = [
            (f"{number:02d}-{safe_name(part.path)}", part)
            for number, part in enumerate(_that_fit(parts, message.size), 1)
        ]
        values = self._values(message, report, place)
        shown = files if fate.state == "quarantine" else []
        values["decoded"] = [(name, " > ".join(part.path)) for name, part in shown]
        why = self._templates.render("why.txt", **values)
        if self._config.notices.administrator:
            self._tell(message.id, "found.txt", self._config.site.administrator, values)
        if self._config.notices.sender and self.may_tell(message.envelope):
            self._tell(message.id, "sender.txt", message.envelope.sender, values)
        if self._config.notices.recipient:
            for address in filter(self._config.site.is_ours, values["recipients"]):
                self._tell(message.id, "recipient.txt", address, values)
        if fate.state == "quarantine":
            message.quarantine(day, why, ((name, part.read()) for name, part in files))
        else:
            message.move("hold", why)
        self._teller.done(message.id)

    def _tell(self, queue_id: str, template: str, reader: str, values: dict[str, Any]) -> None:
        name = f"{values['verdict']}: {values['findings'][0].name}"
        self._teller.tell(queue_id, template, reader, name, values)

    def may_tell(self, envelope: Envelope) -> bool:
        """Whether the sender is one of ours, by address and by the network the mail came from."""
        return self._is_inside(envelope) and self._config.site.is_ours(envelope.sender)

    def _is_inside(self, envelope: Envelope) -> bool:
        try:
            peer = ipaddress.ip_address(envelope.peer_address)
        except ValueError:
            return False
        return any(peer in network for network in self._networks)

    def _detail(self, message: Message, report: Report, trail: Trail | None) -> dict[str, Any]:
        """For the journal: all of the report, and whose mail it was."""
        envelope = message.envelope
        told = report.as_dict()
        gravest = max(report.findings, key=attrgetter("verdict"), default=None)
        return {
            "direction": "out" if self._is_inside(envelope) else "in",
            "sender": envelope.sender,
            "recipients": [recipient.address for recipient in envelope.recipients],
            "name": gravest.name if gravest is not None and report.verdict else "",
            "findings": told["findings"][:_MOST_TOLD],
            "part": told["parts"][:_MOST_TOLD],
            **({} if trail is None else trail.told()),
        }

    def _values(self, message: Message, report: Report, place: str) -> dict[str, Any]:
        envelope = message.envelope
        return {
            "id": message.id,
            "verdict": str(report.verdict),
            "findings": report.findings[:50],
            "arrived": envelope.arrived.strftime("%Y-%m-%d %H:%M:%S UTC"),
            "peer": f"{envelope.peer_name or 'unknown'} [{envelope.peer_address or 'unknown'}]",
            "sender": envelope.sender,
            "recipients": [recipient.address for recipient in envelope.recipients[:50]],
            "place": place,
            "path": self._spool.path(place, message.id),
            "outgoing": self._spool.path("outgoing"),
        }


def _that_fit(parts: Sequence[DecodedPart], size: int) -> Iterator[DecodedPart]:
    """Those to be shown: a small message must not fill the disk, whatever it decodes to."""
    room = size * _DECODED_RATIO + _DECODED_BYTES
    for part in parts:
        taken = max(part.size, _FILE)
        if taken <= room:
            room -= taken
            yield part


def safe_name(path: Sequence[str]) -> str:
    """A file name that Samba and Windows take and that no double click starts.

    Letters and digits of the part's own name stay so that it can be recognised; the rest, its
    dots too, becomes ``_``; the ending is ours.
    """
    label = path[-1] if path else "message"
    return re.sub(r"[^A-Za-z0-9]+", "_", label)[:60].strip("_").ljust(1, "_") + ".part"
