"""The settings of ``[site]``."""

from __future__ import annotations

import socket

from pydantic import Field

from spoolscan.config.kinds import Domain, Mailbox, Network, Section


class Site(Section):
    """Who we are."""

    hostname: Domain = Field(default_factory=socket.gethostname)
    domains: tuple[Domain, ...] = Field(default_factory=lambda: (socket.gethostname().lower(),))
    networks: tuple[Network, ...] = ("127.0.0.0/8", "::1/128")
    admin: Mailbox = ""

    @property
    def administrator(self) -> str:
        """Where notices go: ``admin``, or postmaster of the first domain."""
        return self.admin or f"postmaster@{self.domains[0] if self.domains else self.hostname}"

    def is_ours(self, address: str) -> bool:
        """Whether a mailbox is of one of the site's domains."""
        _, at, domain = address.rpartition("@")
        return bool(at) and domain.lower().rstrip(".") in self.domains
