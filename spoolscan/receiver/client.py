"""Who is talking to us, as far as it is known: what every check of an address is given."""

from __future__ import annotations

from dataclasses import dataclass

from spoolscan.receiver.policy import IPAddress


@dataclass(frozen=True, slots=True)
class Client:
    """A peer as it stands before us at this moment of its session.

    ``address`` is None where the socket has none; ``name`` is the confirmed name of the address in
    lower case, "" for none; ``helo`` is what it calls itself, and is worth nothing.  ``trusted``
    says that it is in the site's own networks, ``user`` as whom it authenticated ("" for nobody),
    ``tls`` protocol and cipher of the session ("" in the clear).  ``unsure`` says that there may be
    a name: the lookup had no answer.
    """

    address: IPAddress | None = None
    name: str = ""
    helo: str = ""
    trusted: bool = False
    user: str = ""
    tls: str = ""
    unsure: bool = False

    @property
    def ours(self) -> bool:
        """Whether it may send to anywhere: one of our networks, or of our users."""
        return self.trusted or bool(self.user)
