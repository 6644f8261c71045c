"""The locked room: what a process gives up before it reads hostile mail.

Five measures, none trusted alone: what one kernel lacks, or a mistake leaves open, another shuts.

==========  =================================================================================
user        nobody's account, where we were started as root
privileges  no capability and none to be had (which the next two build on); no debugger
landlock    no file, no TCP port, no abstract socket, no signal to others
limits      memory, size of files, descriptors, processes
seccomp     thirty system calls: no open, no socket, no process, no program, no new code
==========  =================================================================================

What is in force is told by who took it, not by what the kernel is believed to have.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from spoolscan.scanner.room import identity, landlock, limits, seccomp
from spoolscan.scanner.room.identity import check
from spoolscan.scanner.room.kernel import Unsupported

__all__ = ["REMEDIES", "Measure", "Plan", "check", "in_force", "lock"]

REMEDIES: Final = {
    "user": "start spoolscan as a user of its own, or name an account in [scanner] user",
    "privileges": "nothing should forbid prctl(2) and capset(2) here",
    "landlock": "Linux 5.13 or later, with landlock among its security modules (lsm=...)",
    "limits": "/proc must be there, and setrlimit(2) not be forbidden",
    "seccomp": "a kernel with seccomp filters, on x86_64 or aarch64",
}


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure: whether it is in force, and in what form or why not."""

    name: str
    in_force: bool
    detail: str

    @property
    def remedy(self) -> str:
        """What to do where it is not in force."""
        return "" if self.in_force else REMEDIES.get(self.name, "")

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Measure:
        """Raises KeyError."""
        return cls(str(data["name"]), bool(data["in_force"]), str(data["detail"]))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Plan:
    """``user`` to become; bytes of ``memory`` to be taken yet; bytes of the largest ``file``."""

    user: str = "nobody"
    memory: int = 1 << 30
    file: int = 1 << 30


def lock(plan: Plan, parent: int, furnish: Callable[[], object] = lambda: None) -> list[Measure]:
    """Lock this process up, for good; answers with what came of each measure.

    To be called with a single thread.  ``parent`` is the process to end with.  ``furnish`` is
    called when nothing can be opened any more and threads can still be started.  Raises ConfigError
    where there is no such user.
    """
    size = limits.address_space()
    measures = [
        _taken("user", lambda: identity.become(plan.user)),
        _taken("privileges", identity.renounce),
        _taken("landlock", lambda: f"ABI {landlock.restrict()}"),
    ]
    identity.die_with(parent)
    furnish()
    measures.append(_taken("limits", lambda: limits.restrict(size + plan.memory, plan.file)))
    measures.append(_taken("seccomp", seccomp.restrict))
    return measures


def in_force(plan: Plan) -> list[Measure]:
    """What would be in force here: a process is made, locked up, and asked.

    Raises ConfigError where there is no such user.
    """
    check(plan.user)
    reading, writing = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            measures = lock(plan, parent)
            os.write(writing, json.dumps([measure.as_dict() for measure in measures]).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    if not answer:
        return [Measure(name, in_force=False, detail="the trial died") for name in REMEDIES]
    return [Measure.from_dict(measure) for measure in json.loads(answer)]


def _taken(name: str, measure: Callable[[], str | None]) -> Measure:
    try:
        return Measure(name, in_force=True, detail=measure() or "")
    except (OSError, ValueError, Unsupported) as error:
        return Measure(name, in_force=False, detail=str(error))
