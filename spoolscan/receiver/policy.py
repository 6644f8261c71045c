"""Who we are: our domains and networks; and what is refused whatever the rules say.

Pure: no I/O, no clock.  Domains are exact: a subdomain is another domain.  A forward-path that asks
some host to send on (``%``, ``!``, ``@a:b@c``, ``"a@b"@c``, a literal, a trailing dot) is refused
to everyone: the next hop might obey it, and then we were the open relay.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from spoolscan.receiver.address import Path
from spoolscan.receiver.reply import Reply

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_RELAYS: Final = frozenset("%!@:")

RELAY_DENIED: Final = Reply(550, "5.7.1", "relaying denied")


@dataclass(frozen=True, slots=True)
class Policy:
    """``domains`` are A-labels in lower case, as in the settings; ``networks`` the site's own."""

    domains: frozenset[str]
    networks: tuple[IPNetwork, ...]

    def trusts(self, peer: IPAddress | None) -> bool:
        """Whether the peer is in the site's own networks.  None, a peer unknown, is not."""
        return peer is not None and any(peer in network for network in self.networks)


def asks_to_relay(path: Path) -> bool:
    """Whether the path names a second destination, or its host other than by a plain name."""
    return bool(
        path.route
        or _RELAYS.intersection(path.local)
        or path.domain.endswith((".", "]"))
        or path.domain.rpartition(".")[2].isdigit()
    )


def parse_peer(text: str) -> IPAddress | None:
    """A socket's address.  IPv4 within IPv6 counts as IPv4; None where it is no IP address."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
