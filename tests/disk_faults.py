"""The system calls of `spoolscan.disk`, recorded, made to fail, or the world stopped at one."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from spoolscan import disk

CALLS = [
    name
    for name, call in vars(disk).items()
    if inspect.isfunction(call) and name not in ("is_plain", "is_strange", "writer_is_gone")
]


class PowerCut(BaseException):
    """Nothing that comes after it happens any more."""


@dataclass(frozen=True)
class Call:
    name: str
    arguments: tuple[Any, ...]
    result: Any


class Disk:
    """Counts calls from 1.  `failing` makes one fail; `cut` stops all in the midst of one."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.count = 0
        self.failing: tuple[int, OSError] | None = None
        self.cut = 0
        self.open: set[int] = set()

    @property
    def names(self) -> list[str]:
        return [call.name for call in self.calls]

    def through(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self.count += 1
            if self.cut and self.count >= self.cut:
                if self.count == self.cut and name == "write":  # marks lie within one sector
                    descriptor, data = arguments
                    real(descriptor, bytes(data)[: len(data) // 2])
                raise PowerCut
            if self.failing and self.count == self.failing[0]:
                if name == "close":  # Linux closes it all the same
                    real(*arguments)
                    self.open.discard(arguments[0])
                raise self.failing[1]
            result = real(*arguments)
            self.calls.append(Call(name, arguments, result))
            if name in ("open_new", "open_found"):
                self.open.add(result)
            if name == "close":
                self.open.discard(arguments[0])
            return result

        return call

    def release(self) -> None:
        """What the kernel does for a dead process."""
        for descriptor in self.open:
            os.close(descriptor)
        self.open.clear()


@contextmanager
def watched_disk() -> Iterator[Disk]:
    """Within this, all that the spool does to the disk goes through a `Disk`."""
    watched = Disk()
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(disk, name, watched.through(name, getattr(disk, name)))
        yield watched
    watched.release()
