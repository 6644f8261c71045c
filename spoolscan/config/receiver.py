"""The settings of ``[receiver]``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spoolscan.config.kinds import Listen, Section, host_port
from spoolscan.receiver.limits import Rates
from spoolscan.units import Count, Duration, Size


class Receiver(Section):
    """How mail comes in."""

    listen: tuple[Listen, ...] = ("127.0.0.1:2525",)
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

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """``listen`` as (host, port)."""
        return tuple(host_port(place) for place in self.listen)
