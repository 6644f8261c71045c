"""Non-delivery reports: RFC 3464 in RFC 6522, with the original's header by RFC 3462.

A report has the null reverse-path and ``Auto-Submitted: auto-replied`` (RFC 3834), so nothing
answers it; none is made for a message that has the null reverse-path itself.  It is 7-bit
throughout.  What peers said is in it as printable ASCII, on one line, cut to a length; of the
original it carries the header, at most 20 KiB of it, and never the body.

Fails with ConfigError where the template bounce.txt cannot be used, and as `Spool.draft` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

from spoolscan.envelope import Envelope
from spoolscan.forwarder.delivery import Outcome
from spoolscan.log import safe
from spoolscan.notices import POLICY, Templates, begin

TEMPLATE: Final = "bounce.txt"
HEADER_LIMIT: Final = 20 * 1024  # bytes of the original's header that are sent back
_LONGEST: Final = 900  # characters of a value, so that no line passes the 998 of RFC 5322


@dataclass(frozen=True, slots=True)
class Failure:
    """A recipient that will not get the message, and what the last attempt said."""

    recipient: str
    outcome: Outcome


def build(
    templates: Templates,
    hostname: str,
    original: Envelope,
    *,
    queue_id: str,
    header: bytes,
    failures: Sequence[Failure],
) -> EmailMessage:
    """The report to ``original.sender``; ``header`` is the start of the original message.

    Raises ConfigError.
    """
    failures = [_plain(failure) for failure in failures]
    arrived = format_datetime(original.arrived)
    subject, text = templates.letter(
        TEMPLATE,
        hostname=hostname,
        id=queue_id,
        arrived=arrived,
        recipient=ascii_words(original.sender),
        failures=failures,
    )
    report = begin(hostname, original.sender, subject)
    report.replace_header("Auto-Submitted", "auto-replied")
    report["MIME-Version"] = "1.0"
    report["Content-Type"] = 'multipart/report; report-type="delivery-status"'
    report.attach(_text(text))
    report.attach(_status(hostname, queue_id, arrived, failures))
    report.attach(_text(_shown_header(header), subtype="rfc822-headers"))
    return report


def ascii_words(value: str) -> str:
    """A value as it may stand in a report: one line of printable ASCII, no encoded word, cut."""
    plain = value.encode("ascii", "backslashreplace").decode("ascii")
    return safe(plain.replace("=?", r"=\x3f"), _LONGEST)


def _plain(failure: Failure) -> Failure:
    outcome = failure.outcome
    return Failure(
        ascii_words(failure.recipient),
        replace(outcome, text=ascii_words(outcome.text), remote=ascii_words(outcome.remote)),
    )


def _text(text: str, subtype: str = "plain") -> EmailMessage:
    part = EmailMessage(policy=POLICY)
    part.set_content(text, subtype=subtype)
    del part["MIME-Version"]  # of the whole, not of a part
    return part


def _status(
    hostname: str, queue_id: str, arrived: str, failures: Sequence[Failure]
) -> EmailMessage:
    """RFC 3464 section 2: a block for the message, then one for each recipient."""
    blocks = [
        {
            "Reporting-MTA": f"dns; {hostname}",
            "X-Spoolscan-Queue-ID": queue_id,
            "Arrival-Date": arrived,
        }
    ]
    for failure in failures:
        outcome = failure.outcome
        block = {
            # Original-Recipient belongs here, from the ORCPT of RFC 3461.
            "Final-Recipient": f"rfc822; {failure.recipient}",
            "Action": "failed",
            "Status": outcome.status,
        }
        if outcome.remote:
            block["Remote-MTA"] = f"dns; {outcome.remote}"
            block["Diagnostic-Code"] = f"smtp; {outcome.text}"
        else:
            block["Diagnostic-Code"] = f"x-spoolscan; {outcome.text}"
        block["Last-Attempt-Date"] = format_datetime(datetime.now(UTC))
        blocks.append(block)
    part = EmailMessage(policy=POLICY)
    part["Content-Type"] = "message/delivery-status"
    for block in blocks:
        fields = EmailMessage(policy=POLICY)
        for name, value in block.items():
            fields[name] = value
        part.attach(fields)
    return part


def _shown_header(header: bytes) -> str:
    """The header's lines, cut and made harmless; long ones are encoded by the email package."""
    end = header.find(b"\r\n\r\n")
    whole = header if end < 0 else header[:end]
    cut = whole[:HEADER_LIMIT]
    if len(cut) < len(whole):
        cut = cut[: cut.rfind(b"\r\n")] if b"\r\n" in cut else cut
    lines = cut.decode("ascii", "replace").split("\r\n")
    return "".join(
        "".join(char if " " <= char <= "~" or char == "\t" else "?" for char in line) + "\n"
        for line in lines
    )
