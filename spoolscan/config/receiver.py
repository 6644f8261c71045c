"""The settings of ``[receiver]``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from spoolscan.config.kinds import Listen, ListenLocally, Network, Section, host_port
from spoolscan.receiver.door import Door
from spoolscan.receiver.rates import Rates
from spoolscan.units import Count, Duration, MaybeRate, Rate, Size


class TLS(Section):
    """With which certificate TLS is spoken, and how; without one it is not."""

    certificate: str = ""
    key: str = ""
    minimum_version: Literal["TLSv1.2", "TLSv1.3"] = "TLSv1.2"
    ciphers: str = ""


class Auth(Section):
    """Who may send through us from outside."""

    enabled: bool = False
    users: Path = Path("etc/users")
    delay: Annotated[Duration, Field(le=30)] = 2.0
    failures: MaybeRate = Rate(10, 600.0)


class Receiver(Section):
    """How mail comes in."""

    listen: tuple[Listen, ...] = ("127.0.0.1:2525",)
    listen_tls: tuple[Listen, ...] = ()
    listen_lmtp: tuple[ListenLocally, ...] = ()
    xclient_from: tuple[Network, ...] = ()
    proxy_from: tuple[Network, ...] = ()
    banner: str = "{hostname} ESMTP spoolscan"
    max_size: Size = 52_428_800
    recipients: Count = 1000
    errors: Count = 20
    idle_commands: Count = 100
    hops: Count = 50
    own_hops: Count = 3
    bare_lf: Literal["refuse", "normalise"] = "refuse"
    bare_lf_own: Literal["refuse", "normalise"] = "normalise"
    command_timeout: Duration = 300.0
    data_timeout: Duration = 180.0
    min_rate: Size = 100
    connections: Count = 1000
    connections_per_address: Count = 50
    stress: Annotated[Count, Field(le=100)] = 50
    stress_timeout: Duration = 10.0
    greet_delay: Annotated[Duration, Field(le=30)] = 0.0
    early_talkers: Literal["refuse", "note"] = "refuse"
    min_free: Size = 67_108_864
    min_inodes: Annotated[int, Field(ge=0, strict=True)] = 1000
    reverse_lookup: bool = True
    reverse_timeout: Duration = 3.0
    threads: Count = 16
    probe_interval: Duration = 5.0
    limits: Rates = Rates()
    tls: TLS = TLS()
    auth: Auth = Auth()

    @model_validator(mode="after")
    def _has_a_certificate(self) -> Self:
        if not self.tls.certificate:
            if self.listen_tls:
                raise ValueError("listen_tls needs a certificate in [receiver.tls]")
            if self.auth.enabled:
                raise ValueError("auth, which is offered under TLS alone, needs [receiver.tls]")
        return self

    @property
    def doors(self) -> tuple[Door, ...]:
        """All that is listened on; the path of a socket's file as it is given."""
        return (
            *(Door("smtp", *host_port(place)) for place in self.listen),
            *(Door("smtps", *host_port(place)) for place in self.listen_tls),
            *(_lmtp(place) for place in self.listen_lmtp),
        )


def _lmtp(place: str) -> Door:
    if place.startswith("unix:"):
        return Door("lmtp", place.removeprefix("unix:"), None)
    return Door("lmtp", *host_port(place))
