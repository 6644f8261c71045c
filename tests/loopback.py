"""What tests with real servers share: a loop, a free port, and waiting for what is to come."""

from __future__ import annotations

import asyncio
import functools
import random
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE = 60.0  # seconds; generous, for nothing is told by how long it took


def on_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an asynchronous test in a loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def free_port() -> int:
    """A port nobody listens on.

    Below the range the kernel takes for connections, so that it is still free when a server that
    was killed is started again.
    """
    while True:
        port = random.randrange(20_000, 32_000)  # noqa: S311 - no secret
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def answers(port: int) -> bool:
    """Whether somebody greets on that port."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            return connection.recv(3) == b"220"
    except OSError:
        return False


def until(look: Callable[[], T], what: str, *, tell: Callable[[], str] = lambda: "") -> T:
    """Wait until ``look()`` is true, and return it.  Fails with ``what`` and what ``tell`` says."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain: {what}\n{tell()}")
        time.sleep(0.02)
    return found
