"""Messages for tests, made here."""

from __future__ import annotations

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP

PROGRAM = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0".ljust(400, b"\0")


def letter(subject: str, text: str = "Good day,\n\nnothing special.\n") -> bytes:
    """A clean one."""
    return _letter(subject, text).as_bytes()


def with_attachment(subject: str, name: str, content: bytes) -> bytes:
    """One with a file."""
    message = _letter(subject, "See below.\n")
    message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()


def read(raw: bytes) -> EmailMessage:
    """One that arrived."""
    return message_from_bytes(raw, policy=SMTP)


def _letter(subject: str, text: str) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"] = "Alice <alice@example.net>"
    message["To"] = "Bob <bob@example.com>"
    message["Subject"] = subject
    message.set_content(text)
    return message
