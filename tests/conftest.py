"""Fixtures that several test files share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import spool_in
from clamd_server import ClamdServer
from forwarding import World
from gateway import Gateway
from hypothesis import HealthCheck, settings

from spoolscan.spool import Spool

# How fast a machine is decides no test.
settings.register_profile("spoolscan", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("spoolscan")


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return spool_in(tmp_path)


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    """A spool laid out; nothing runs."""
    return Gateway(tmp_path / "spool", "maildir:maildir")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A spool and a forwarder over it."""
    return World(tmp_path)


@pytest.fixture(scope="session")
def clamd_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClamdServer]:
    """The clamd of this session (one a worker of xdist), not yet started."""
    if reason := ClamdServer.absent():
        pytest.skip(reason)
    server = ClamdServer(tmp_path_factory.mktemp("clamd"))
    yield server
    server.stop()


@pytest.fixture
def clamd(clamd_process: ClamdServer) -> ClamdServer:
    """A real clamd that answers, whatever the test before did to it.  Skips where there is none."""
    clamd_process.start()
    return clamd_process
