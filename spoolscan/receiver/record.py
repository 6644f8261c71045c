"""What is written down of a message beside its bytes: the lines of its envelope, and the word for
how it came (RFC 3848, RFC 6531 section 4.3).

The lines are those that the forwarder reads back; what came from a peer is xtext in them.
"""

from __future__ import annotations

from typing import Any

from spoolscan.envelope import Envelope, Recipient, from_xtext, xtext
from spoolscan.receiver.address import Path
from spoolscan.receiver.attributes import NOTHING
from spoolscan.receiver.client import Client
from spoolscan.receiver.events import DataStarts, Mail, Rcpt
from spoolscan.receiver.ruling import Ruling

Lines = tuple[tuple[str, str], ...]


def envelope(
    client: Client, start: DataStarts, recipients: tuple[Recipient, ...], word: str, lines: Lines
) -> Envelope:
    """Of a message from this client.

    Where XFORWARD said whence it comes, the envelope says that: who it is from decides who is told
    of what is found in it, and the server that only passed it on is no sender.
    """
    origin = start.origin
    address = str(client.address or "") if origin.address is None else origin.address
    return Envelope(
        sender=start.mail.sender.text,
        recipients=recipients,
        peer_address=address,
        peer_name=client.name if origin == NOTHING else origin.name or "",
        helo=client.helo if origin.helo is None else origin.helo,
        protocol=word,
        extras=(*message_lines(start.mail, client), *lines),
    )


def protocol(client: Client, *, esmtp: bool, lmtp: bool, utf8: bool) -> str:
    """As it stands behind "with": SMTP, ESMTPSA, UTF8LMTP ..."""
    if not esmtp:
        return "SMTP"
    base = "LMTP" if lmtp else "SMTP"
    word = f"UTF8{base}" if utf8 else base if lmtp else "ESMTP"
    return word + ("S" if client.tls else "") + ("A" if client.user else "")


def message_lines(mail: Mail, client: Client) -> Lines:
    """BTYP, UTF8, RETN, ENVI, AUTH and CIPH, each where there is anything to say."""
    lines = (
        ("BTYP", mail.body),
        ("UTF8", "yes" if mail.utf8 else ""),
        ("RETN", mail.ret),
        ("ENVI", xtext(mail.envid)),
        ("AUTH", xtext(client.user)),
        ("CIPH", client.tls),
    )
    return tuple(line for line in lines if line[1])


def recipient_lines(rcpt: Rcpt, client: Client) -> Lines:
    """NTFY and ORCP, each where the peer gave it.

    A stranger is not told of success: his reverse-path may be anybody's, and the report would carry
    a header of his making there.
    """
    kind, semicolon, address = rcpt.orcpt.partition(";")
    notify = rcpt.notify
    if notify and not client.ours:
        notify = ",".join(word for word in notify.split(",") if word != "SUCCESS") or "NEVER"
    lines = (("NTFY", notify), ("ORCP", f"{kind}{semicolon}{xtext(address)}"))
    return tuple(line for line in lines if line[1])


# ---- for the journal


def of_received(client: Client, told: Envelope, seconds: float) -> dict[str, Any]:
    """What is written down of a message received, ``seconds`` after it was begun."""
    return {
        "direction": "out" if client.ours else "in",
        "peer": f"{told.peer_address} {told.peer_name}".strip(),
        "sender": told.sender,
        "recipients": [recipient.address for recipient in told.recipients],
        "seconds": round(seconds, 4),
        "helo": told.helo,
        "protocol": told.protocol,
        "dnsbl": _lists(told.extras),
    }


def of_denied(ruling: Ruling, recipient: Path) -> dict[str, Any]:
    """And of a recipient refused."""
    return {
        "recipients": [recipient.text],
        "name": f"{ruling.reply.code} {ruling.reply.text}",
        "dnsbl": _lists(ruling.extras),
    }


def _lists(lines: Lines) -> list[str]:
    """The DNS lists that the peer is on."""
    return [from_xtext(value.partition(" ")[0]) for tag, value in lines if tag == "DNSB"]
