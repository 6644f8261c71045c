"""A directory that was made again, moved away or mounted over is watched again."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from spoolscan.watch import Watch


def _made_again(folder: Path) -> None:
    folder.rmdir()
    folder.mkdir()


def _moved_away(folder: Path) -> None:
    folder.rename(folder.with_name("old"))
    folder.mkdir()


def _mounted_over(folder: Path) -> None:
    command = ["mount", "-t", "tmpfs", "none", str(folder)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("may not mount here")


def _unmounted(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)


@pytest.mark.parametrize("happens", [_made_again, _moved_away, _mounted_over])
def test_what_comes_into_another_directory_of_that_name_wakes_and_is_named(
    tmp_path: Path, happens: Callable[[Path], None]
) -> None:
    folder = tmp_path / "outgoing"
    folder.mkdir()

    async def story() -> None:
        async with asyncio.timeout(60):
            with Watch(str(folder), "forwarder") as watching:
                assert watching.names() is None
                happens(folder)
                assert any([await watching.wait(0) for _ in range(3)])
                assert watching.names() is None  # what came before it is told by nobody
                (folder / "new").touch()
                assert await watching.wait()
                assert watching.names() == ["new"]

    try:
        asyncio.run(story())
    finally:
        if happens is _mounted_over:
            _unmounted(folder)


def test_one_that_is_not_there_for_a_while_is_listed_until_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "outgoing"

    async def story() -> None:
        async with asyncio.timeout(60):
            with Watch(str(folder), "forwarder") as watching:
                for _ in range(3):
                    assert not await watching.wait(0)
                    assert watching.names() is None
                folder.mkdir()
                assert not await watching.wait(0)
                assert await watching.wait(0)
                assert watching.names() is None
                assert watching.names() == []
                (folder / "new").touch()
                assert await watching.wait()
                assert watching.names() == ["new"]

    asyncio.run(story())


def test_one_that_stays_is_said_to_be_watched_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        with Watch(str(tmp_path), "forwarder") as watching:
            assert watching.names() is None
            for _ in range(5):
                assert not await watching.wait(0)
                assert watching.names() == []

    asyncio.run(story())
    assert caplog.records == []
