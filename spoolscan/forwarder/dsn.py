"""Reports to senders (DSN): RFC 3464 in RFC 6522, asked for and kept quiet by RFC 3461.

Three kinds: that mail failed, that it is late, that it arrived (or was relayed to where nobody
tells).  A sender who said nothing hears of the first two; NOTIFY= says otherwise for each
recipient.  ENVID and ORCPT come back as they were given, RET=FULL brings a small and clean message
back whole, and in all other cases its header does, at most 20 KiB of it, by RFC 3462.

A report has the null reverse-path and ``Auto-Submitted: auto-replied`` (RFC 3834), so nothing
answers it; none is made for a message that has the null reverse-path itself.  It is 7-bit
throughout.  What peers said is in it as printable ASCII, on one line, cut to a length.

Fails with ConfigError where a template cannot be used, and as `Spool.draft` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from types import MappingProxyType
from typing import Final

from spoolscan.envelope import Envelope, from_xtext
from spoolscan.forwarder.delivery import Outcome, Success, Wish
from spoolscan.log import safe
from spoolscan.notices import POLICY, Templates, begin

HEADER_LIMIT: Final = 20 * 1024  # bytes of the original's header that are sent back
FULL_LIMIT: Final = 60 * 1024  # bytes of a message that is sent back whole
_LONGEST: Final = 900  # characters of a value, so that no line passes the 998 of RFC 5322
_NONE: Final = Wish()
_ACTIONS: Final[Mapping[Success, str]] = MappingProxyType(
    {Success.RELAYED: "relayed", Success.DELIVERED: "delivered", Success.PASSED: "relayed"}
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of report: its word in NOTIFY, its template, and its Action ("": by the outcome)."""

    word: str
    template: str
    action: str

    def is_wanted(self, notify: str) -> bool:
        """Whether a NOTIFY asks for it; "" is none, and then there are all but success."""
        if not notify:
            return self.word != "SUCCESS"
        return self.word in notify.upper().split(",")


FAILURE: Final = Kind("FAILURE", "bounce.txt", "failed")
DELAY: Final = Kind("DELAY", "delay.txt", "delayed")
SUCCESS: Final = Kind("SUCCESS", "success.txt", "")


@dataclass(frozen=True, slots=True)
class Item:
    """A recipient, what the last attempt said, and what was asked for with him."""

    recipient: str
    outcome: Outcome
    wish: Wish = _NONE


def build(
    templates: Templates,
    hostname: str,
    original: Envelope,
    kind: Kind,
    *,
    queue_id: str,
    content: bytes,
    items: Sequence[Item],
    until: datetime,
) -> EmailMessage:
    """The report to ``original.sender``.

    ``content`` is the start of the original message, more than FULL_LIMIT of it if there is more;
    ``until`` is how long it is tried.  Raises ConfigError.
    """
    items = [_plain(item) for item in items]
    actions = [kind.action or _ACTIONS[item.outcome.success] for item in items]
    arrived, last = format_datetime(original.arrived), format_datetime(until)
    subject, text = templates.letter(
        kind.template,
        hostname=hostname,
        id=queue_id,
        arrived=arrived,
        until=last,
        recipient=ascii_words(original.sender),
        told=[
            {"recipient": item.recipient, "outcome": item.outcome, "action": action}
            for item, action in zip(items, actions, strict=True)
        ],
    )
    said = dict(original.extras)
    whole = {
        "Original-Envelope-Id": ascii_words(from_xtext(said.get("ENVI", ""))),
        "Reporting-MTA": f"dns; {hostname}",
        "X-Spoolscan-Queue-ID": queue_id,
        "Arrival-Date": arrived,
    }
    blocks = [_block(item, action) for item, action in zip(items, actions, strict=True)]
    if kind is DELAY:
        blocks = [{**block, "Will-Retry-Until": last} for block in blocks]
    report = begin(hostname, original.sender, subject)
    report.replace_header("Auto-Submitted", "auto-replied")
    report["MIME-Version"] = "1.0"
    report["Content-Type"] = 'multipart/report; report-type="delivery-status"'
    report.attach(_text(text))
    report.attach(_status([whole, *blocks]))
    # What was released from quarantine is not sent on to whoever it says that it is from.
    full = kind is FAILURE and original.scan.clean and said.get("RETN") == "FULL"
    report.attach(_original(content) if full and _is_returnable(content) else _header(content))
    return report


def ascii_words(value: str) -> str:
    """A value as it may stand in a report: one line of printable ASCII, no encoded word, cut."""
    plain = value.encode("ascii", "backslashreplace").decode("ascii")
    return safe(plain.replace("=?", r"=\x3f"), _LONGEST)


def _plain(item: Item) -> Item:
    outcome = item.outcome
    return replace(
        item,
        recipient=ascii_words(item.recipient),
        outcome=replace(
            outcome, text=ascii_words(outcome.text), remote=ascii_words(outcome.remote)
        ),
    )


def _block(item: Item, action: str) -> dict[str, str]:
    """The fields of one recipient (RFC 3464 section 2.3); those with "" are not there."""
    outcome = item.outcome
    kind, semicolon, address = item.wish.orcpt.partition(";")
    original = f"{kind}; {from_xtext(address)}" if semicolon else ""
    who = "smtp" if outcome.remote else "x-spoolscan"
    return {
        "Original-Recipient": ascii_words(original),
        "Final-Recipient": f"rfc822; {item.recipient}",
        "Action": action,
        "Status": outcome.status,
        "Remote-MTA": f"dns; {outcome.remote}" if outcome.remote else "",
        "Diagnostic-Code": f"{who}; {outcome.text}",
        "Last-Attempt-Date": format_datetime(datetime.now(UTC)),
    }


def _text(text: str, subtype: str = "plain") -> EmailMessage:
    part = EmailMessage(policy=POLICY)
    part.set_content(text, subtype=subtype)
    del part["MIME-Version"]  # of the whole, not of a part
    return part


def _status(blocks: Sequence[Mapping[str, str]]) -> EmailMessage:
    """RFC 3464 section 2: a block for the message, then one for each recipient."""
    part = EmailMessage(policy=POLICY)
    part["Content-Type"] = "message/delivery-status"
    for block in blocks:
        fields = EmailMessage(policy=POLICY)
        for name, value in block.items():
            if value:
                fields[name] = value
        part.attach(fields)
    return part


def _is_returnable(content: bytes) -> bool:
    """Whether it is all there and can stand in a report: 7-bit, no line too long."""
    longest = max(map(len, content.split(b"\r\n")), default=0)
    return content.isascii() and longest <= 998 and len(content) <= FULL_LIMIT


def _original(content: bytes) -> EmailMessage:
    """All of it, as bytes that nobody parses."""
    part = EmailMessage(policy=POLICY)
    part["Content-Type"] = "message/rfc822"
    part.set_payload(content.decode("ascii").replace("\r\n", "\n"))
    return part


def _header(content: bytes) -> EmailMessage:
    """The header's lines, cut and made harmless; long ones are encoded by the email package."""
    end = content.find(b"\r\n\r\n")
    whole = content if end < 0 else content[:end]
    cut = whole[:HEADER_LIMIT]
    if len(cut) < len(whole):
        cut = cut[: cut.rfind(b"\r\n")] if b"\r\n" in cut else cut
    lines = cut.decode("ascii", "replace").split("\r\n")
    shown = "".join(
        "".join(char if " " <= char <= "~" or char == "\t" else "?" for char in line) + "\n"
        for line in lines
    )
    return _text(shown, subtype="rfc822-headers")
