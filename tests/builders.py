"""The world of a test in a few words: a message, an envelope, a spool, and something in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spoolscan.config import Config, Site
from spoolscan.config import Forwarder as ForwarderSettings
from spoolscan.envelope import Envelope, Recipient
from spoolscan.forwarder.daemon import Forwarder
from spoolscan.notices import Notifier, Templates
from spoolscan.scanner.disposition import Disposer
from spoolscan.scanner.teller import Teller
from spoolscan.spool import STATES, Spool

DAY = "2026-11-21"
FOREIGN_ID = "20261121t053000z-d6m01v"  # of no message that was put here


def message(text: str = "Good day.", subject: str = "hello") -> bytes:
    """A small plain one, as it lies in the spool: CRLF line ends, dots unstuffed."""
    lines = f"From: alice@example.org\nTo: bob@example.com\nSubject: {subject}\n\n{text}\n"
    return lines.replace("\n", "\r\n").encode()


def envelope(
    sender: str = "alice@example.org", to: tuple[str, ...] = ("bob@example.com",), **more: Any
) -> Envelope:
    """From alice to bob, from outside, unless said otherwise."""
    said = {"peer_address": "192.0.2.7", "helo": "mail.example.org", "protocol": "ESMTP", **more}
    return Envelope(sender, tuple(Recipient(address) for address in to), **said)


def spool_in(folder: Path) -> Spool:
    """The directories of a spool, without settings.  An existing one is opened again."""
    for name in (*STATES, "var"):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return Spool(folder)


def put(
    spool: Spool, body: bytes | None = None, state: str = "incoming", **of_envelope: Any
) -> str:
    """Commit a message into a state; its queue id."""
    draft = spool.draft(envelope(**of_envelope))
    draft.write(message() if body is None else body)
    return draft.commit(to=state)


def disposer_of(spool: Spool, settings: Config) -> Disposer:
    """As the scanner's daemon makes it."""
    templates = Templates(settings.template_folders())
    notifier = Notifier(spool, templates, settings.site.hostname)
    return Disposer(spool, settings, templates, Teller(settings.notices, notifier))


def forwarder_of(spool: Spool, next_hop: str, **values: Any) -> Forwarder:
    """As the stage makes it, with the templates of the project."""
    settings = Config(
        root=Path(spool.root),
        site=Site(hostname="me.test"),
        forwarder=ForwarderSettings(next_hop=next_hop, **values),
    )
    templates = Templates([Path(__file__).parent.parent / "etc" / "templates"])
    return Forwarder(settings, spool, templates)


def names(spool: Spool, state: str) -> list[str]:
    """All that lies in a state, whatever it is, sorted."""
    return sorted(path.name for path in Path(spool.path(state)).iterdir())
