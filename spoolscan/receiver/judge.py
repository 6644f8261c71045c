"""The chain of checks between RCPT and its answer: the first that objects decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from spoolscan.receiver.address import Path
from spoolscan.receiver.client import Client
from spoolscan.receiver.events import Mail
from spoolscan.receiver.policy import RELAY_DENIED, Policy, asks_to_relay
from spoolscan.receiver.reply import Reply
from spoolscan.receiver.ruling import Ruling


class Link(Protocol):
    """One more check of a recipient whom this client may send to."""

    async def recipient(self, client: Client, mail: Mail, path: Path) -> Reply | None:
        """Why it is refused all the same; None where nothing speaks against it."""
        ...


class Judge:
    """One for all connections.  ``links`` are asked in turn."""

    def __init__(self, policy: Policy, links: Sequence[Link] = ()) -> None:
        self._policy = policy
        self._links = tuple(links)

    async def recipient(self, client: Client, mail: Mail, path: Path) -> Ruling:
        """What becomes of one RCPT command."""
        if asks_to_relay(path):
            return Ruling(RELAY_DENIED)
        if not client.ours and (refusal := self._policy.recipient(client.address, path)):
            return Ruling(refusal)
        for link in self._links:
            if refusal := await link.recipient(client, mail, path):
                return Ruling(refusal)
        return Ruling()
