"""An engine that is asked by somebody else: for a process that may neither connect nor run it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from spoolscan.errors import TemporaryFailure
from spoolscan.scanner.engines.contract import Engine, Sample
from spoolscan.scanner.engines.yara import Yara
from spoolscan.verdict import Finding

Ask = Callable[[str, Sequence[Sample], float], list[Finding]]
"""Have the engine of that name scan; as `Engine.scan`."""


class Remote:
    """Stands for the engine of that name."""

    def __init__(self, name: str, ask: Ask) -> None:
        self.name = name
        self._ask = ask

    def scan(self, samples: Sequence[Sample], deadline: float = math.inf) -> list[Finding]:
        return self._ask(self.name, samples, deadline) if samples else []

    def awake(self) -> str:
        raise TemporaryFailure(f"engine {self.name}: to be asked where it is, not from here")

    def close(self) -> None:
        """It is not ours."""


def apart(engines: Sequence[Engine], ask: Ask) -> list[Engine]:
    """The embedded engines as they are, and a stand-in for each of the others."""
    return [engine if is_embedded(engine) else Remote(engine.name, ask) for engine in engines]


def is_embedded(engine: Engine) -> bool:
    """Whether it needs nothing but memory to scan, so that it reads where we read."""
    return isinstance(engine, Yara)
