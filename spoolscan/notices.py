"""Mail of our own: jinja2 templates rendered into messages, and put into the spool's outgoing/.

A notice has the null reverse-path, ``Auto-Submitted``, and is never scanned, so it can neither
bounce nor loop (RFC 3834).  What peers said reaches a template only through `log.safe`, which
leaves printable characters, cut to a length, on one line, and escaped in HTML; the email package
writes it into a header as it is, and never parses it.  The templates of a site (etc/templates in
the spool) stand before ours of the same name; a letter's first line is ``Subject: ...``, then comes
an empty one, then the text.

Fails with ConfigError where a template cannot be read or used, and as `Spool.draft` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP, Policy
from email.utils import format_datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from spoolscan.envelope import Envelope, Recipient
from spoolscan.errors import ConfigError
from spoolscan.log import safe
from spoolscan.spool import Spool

if TYPE_CHECKING:
    from spoolscan.templates import Library

_LONGEST_FIELD: Final = 900  # characters of a header field; its line may have 998 bytes

# Folding at 78 would turn a long address into an encoded word, which no field of a report may be.
POLICY: Final = SMTP.clone(max_line_length=998, cte_type="7bit")


class _Words(str):
    """The value of a header field that is not to be read, only written.

    Given a plain string the email package parses it: encoded words in it are decoded, line ends and
    all, and some addresses make it raise anything.  What has a name it takes for parsed.
    """

    __slots__ = ("name",)
    name: str

    def __new__(cls, name: str, value: str) -> Self:
        words = super().__new__(cls, safe(value, _LONGEST_FIELD))
        words.name = name
        return words

    def fold(self, *, policy: Policy) -> str:
        """The whole field; in encoded words of our own where it would not be read as it is."""
        plain = self.isascii() and "=?" not in self
        header = Header(self, "us-ascii" if plain else "utf-8", header_name=self.name)
        return f"{self.name}: {header.encode(linesep=policy.linesep)}{policy.linesep}"


class Templates:
    """The templates of a site over those of the package; jinja2 is loaded for the first of them."""

    def __init__(self, folders: Sequence[Path | str]) -> None:
        self._folders = folders

    @cached_property
    def _library(self) -> Library:
        from spoolscan.templates import Library  # noqa: PLC0415 - most lives write no mail

        return Library(self._folders)

    def check(self) -> None:
        """Parse every template.  Raises ConfigError."""
        for name in self._library.names():
            self._library.get(name)

    def render(self, name: str, **values: object) -> str:
        """A template's text.  Raises ConfigError."""
        template = self._library.get(name)
        try:
            return template.render(**values)
        except Exception as error:  # a template is a program of the site's, and may raise anything
            raise ConfigError(f"etc/templates/{name}: {safe(error)}") from error

    def letter(self, name: str, **values: object) -> tuple[str, str]:
        """A template's subject and text.  Raises ConfigError."""
        head, _, text = self.render(name, **values).partition("\n\n")
        field, _, subject = head.partition(":")
        if field.lower() != "subject" or "\n" in subject:
            raise ConfigError(f"etc/templates/{name}: its first line must be `Subject: ...`")
        return subject.strip(), text


def post(spool: Spool, message: EmailMessage, recipient: str) -> str:
    """Put a finished message into outgoing/ with the null reverse-path; returns its queue id.

    Raises TemporaryFailure.
    """
    draft = spool.draft(Envelope(sender="", recipients=(Recipient(recipient),), protocol="LOCAL"))
    try:
        message["Message-ID"] = f"<{draft.id}@{message['From'].addresses[0].domain}>"
        draft.write(message.as_bytes(policy=POLICY))
        return draft.commit(to="outgoing")
    finally:
        draft.discard()


def begin(hostname: str, recipient: str, subject: str) -> EmailMessage:
    """The header of any mail of ours; the caller adds the text."""
    message = EmailMessage(policy=POLICY)
    message["From"] = f"Mail Delivery System <MAILER-DAEMON@{hostname}>"
    message["To"] = _Words("To", recipient)
    message["Subject"] = _Words("Subject", subject)
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Auto-Submitted"] = "auto-generated"
    return message


class Notifier:
    """Renders a template and posts it."""

    def __init__(self, spool: Spool, templates: Templates, hostname: str) -> None:
        self._spool = spool
        self._templates = templates
        self._hostname = hostname

    def send(self, template: str, recipient: str, **values: object) -> str:
        """Returns the notice's queue id.  Raises ConfigError, TemporaryFailure."""
        values.update(hostname=self._hostname, recipient=recipient)
        subject, text = self._templates.letter(template, **values)
        message = begin(self._hostname, recipient, subject)
        message.set_content(text)
        return post(self._spool, message, recipient)
