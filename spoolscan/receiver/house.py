"""What all connections of a receiver share."""

from __future__ import annotations

from dataclasses import dataclass

from spoolscan.receiver.dotted import BareLF
from spoolscan.receiver.gatekeeper import Gatekeeper
from spoolscan.receiver.intake import Intake
from spoolscan.receiver.judge import Judge
from spoolscan.receiver.limits import Limits
from spoolscan.receiver.patience import Patience
from spoolscan.receiver.policy import Policy
from spoolscan.receiver.reverse import ReverseNames
from spoolscan.receiver.tls import Certificate


@dataclass(frozen=True, slots=True)
class House:
    """``greet_seconds`` is how long outside peers wait for the banner,
    ``refuse_early`` what becomes of those who do not; ``bare_lf_own`` is for our own networks.
    """

    policy: Policy
    judge: Judge
    intake: Intake
    names: ReverseNames | None
    patience: Patience
    limits: Limits
    bare_lf: BareLF
    bare_lf_own: BareLF
    certificate: Certificate | None = None
    gatekeeper: Gatekeeper | None = None
    greet_seconds: float = 0.0
    refuse_early: bool = True
