"""Mail of our own: jinja2 templates rendered into messages, and put into the spool's outgoing/.

A notice has the null reverse-path, ``Auto-Submitted``, and is never scanned, so it can neither
bounce nor loop (RFC 3834).  What peers said reaches a template only through `safe`, which leaves
printable characters, cut to a length, on one line.  The templates of a site (etc/templates in the
spool) stand before ours of the same name; a template's first line is ``Subject: ...``, then comes
an empty one, then the text.

Fails with ConfigError where a template cannot be read or used, and as `Spool.draft` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError, TemplateNotFound

from spoolscan.envelope import Envelope, Recipient
from spoolscan.errors import ConfigError
from spoolscan.spool import Spool

_LONGEST: Final = 200


def safe(value: object, longest: int = _LONGEST) -> str:
    """One line of printable characters, cut; bidirectional and other format controls are shown."""
    text = str(value)
    if len(text) > longest:
        text = text[: longest - 3] + "..."
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


class Templates:
    """The templates of a site over those of the package."""

    def __init__(self, folders: Sequence[Path | str]) -> None:
        self._environment = Environment(
            loader=FileSystemLoader([str(folder) for folder in folders]),
            autoescape=False,  # noqa: S701 - plain text; `safe` is applied to every value below
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            finalize=safe,
        )

    def check(self) -> None:
        """Parse every template.  Raises ConfigError."""
        for name in self._environment.list_templates(extensions=["txt"]):
            try:
                self._environment.get_template(name)
            except (TemplateError, UnicodeDecodeError, OSError) as error:
                raise ConfigError(f"etc/templates/{name}: {error}") from error

    def render(self, name: str, **values: object) -> str:
        """A template's text.  Raises ConfigError."""
        try:
            return self._environment.get_template(name).render(**values)
        except TemplateNotFound as error:
            raise ConfigError(f"etc/templates/{name}: no such template") from error
        except TemplateError as error:
            raise ConfigError(f"etc/templates/{name}: {error}") from error


def post(spool: Spool, message: EmailMessage, recipient: str) -> str:
    """Put a finished message into outgoing/ with the null reverse-path; returns its queue id.

    Raises TemporaryFailure.
    """
    draft = spool.draft(Envelope(sender="", recipients=(Recipient(recipient),), protocol="LOCAL"))
    try:
        message["Message-ID"] = f"<{draft.id}@{message['From'].addresses[0].domain}>"
        draft.write(message.as_bytes(policy=SMTP))
        return draft.commit(to="outgoing")
    finally:
        draft.discard()


def begin(hostname: str, recipient: str, subject: str) -> EmailMessage:
    """The header of any mail of ours; the caller adds the text."""
    message = EmailMessage(policy=SMTP)
    message["From"] = f"Mail Delivery System <MAILER-DAEMON@{hostname}>"
    message["To"] = recipient
    message["Subject"] = subject
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
        head, _, text = self._templates.render(template, **values).partition("\n\n")
        field, _, subject = head.partition(":")
        if field.lower() != "subject" or "\n" in subject:
            raise ConfigError(f"etc/templates/{template}: its first line must be `Subject: ...`")
        message = begin(self._hostname, recipient, subject.strip())
        message.set_content(text)
        return post(self._spool, message, recipient)
