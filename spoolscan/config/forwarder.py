"""The settings of ``[forwarder]`` and the tables in it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spoolscan.config.kinds import Section
from spoolscan.forwarder.schedule import Retries
from spoolscan.units import Count, Duration


class Timeouts(Section):
    """How long a next hop may take (RFC 5321 section 4.5.3.2, but for the first)."""

    connect: Duration = 30.0
    greeting: Duration = 300.0
    command: Duration = 300.0
    block: Duration = 180.0
    answer: Duration = 600.0


class Forwarder(Section):
    """How mail goes out."""

    next_hop: str = "maildir:maildir"
    mark: bool = True
    concurrency: Count = 10
    pause: Annotated[Duration, Field(gt=0)] = 5.0
    longest_pause: Duration = 300.0
    idle: Duration = 5.0
    messages: Count = 100
    recipients: Count = 100
    chunking: bool = True
    eight_bit: Literal["send", "refuse"] = "send"
    grace: Duration = 30.0
    retries: Retries = Retries()
    timeouts: Timeouts = Timeouts()
