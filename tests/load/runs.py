"""One system under one load, and the medians of several.

Rates are messages over the time from the first MAIL until the last arrival at the sink or the last
reply, whichever came later; CPU is that of all processes of the system, by 1,000 messages; memory
the most that was in use at once.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from load import processes
from load.generator import Order
from load.systems import System

_TESTS = Path(__file__).parents[1]
_SETTLE = 120.0  # seconds in which what was accepted must have come


class Sink:
    """The process of `load.sink`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "load.sink"],
            cwd=_TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.port = int(self._answer())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        with self._process:  # which closes its pipes and waits
            self._process.stdin.close()

    def ask(self, word: str) -> Any:
        assert self._process.stdin is not None
        print(word, file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@dataclass(frozen=True, slots=True)
class Result:
    """Seconds, bytes; ``replies`` as in `generator.Outcome`."""

    messages: int
    replies: Mapping[str, int]
    refused: str
    came: int
    again: int
    damaged: int
    rate: float
    accept: tuple[float, float, float]  # p50, p95, p99
    through: tuple[float, float, float]
    cpu: float
    memory: int

    def wrong(self, catches: Sequence[str] = ()) -> str:
        """What is wrong with the mail that was accepted; "" for nothing.

        ``catches`` are the kinds that are not to come out.
        """
        accepted = [what.split()[0] for what in self.replies if what.endswith(" 250")]
        kinds = {kind: self.replies[f"{kind} 250"] for kind in accepted if kind not in catches}
        missing = sum(kinds.values()) - self.came
        counts = {"missing": missing, "damaged": self.damaged, "doubled": self.again}
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def run(system: System, sink: Sink, order: Order) -> Result:
    """Load it, and wait until it has nothing left.  Raises RuntimeError where it does not end."""
    sink.ask("reset")
    used = processes.cpu(system.roots())
    with processes.Peak(system.roots()) as peak:
        sent = generate(order)
        deadline = time.monotonic() + _SETTLE
        while not system.idle():
            if time.monotonic() > deadline:
                raise RuntimeError(f"does not come to rest; {sink.ask('count')} came")
            time.sleep(0.05)
        used = processes.cpu(system.roots()) - used
    told = sink.ask("tell")
    seconds = max(sent["last"], told["last"]) - sent["first"]
    return Result(
        messages=order.count,
        replies=sent["replies"],
        refused=sent["refused"],
        came=told["came"],
        again=told["again"],
        damaged=told["damaged"],
        rate=order.count / seconds,
        accept=quantiles(sent["latencies"]),
        through=quantiles(told["latencies"]),
        cpu=used * 1000 / order.count,
        memory=peak.bytes,
    )


def generate(order: Order) -> Any:
    """Send it all; a `generator.Outcome`.  Raises RuntimeError where the load breaks off."""
    done = subprocess.run(
        [sys.executable, "-m", "load.generator"],
        cwd=_TESTS, input=json.dumps(asdict(order)), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the load broke off: {done.stderr[-1000:]}")
    return json.loads(done.stdout)


def quantiles(seconds: Sequence[float]) -> tuple[float, float, float]:
    """p50, p95, p99."""
    if len(seconds) < 2:
        return (*seconds, *seconds, *seconds, 0.0, 0.0, 0.0)[:3]
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return cuts[49], cuts[94], cuts[98]


def median(results: Sequence[Result]) -> Result:
    """The one in the middle by rate: its other figures belong to it."""
    return sorted(results, key=lambda result: result.rate)[len(results) // 2]
