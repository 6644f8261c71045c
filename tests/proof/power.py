"""Cut the power under a loaded gateway, again and again, and count what became of its mail.

    python tests/proof/power.py
    python tests/proof/power.py --cuts 200 --fs xfs --seed 3

The spool lies on a file system of its own (ext4 or XFS in a file, by a loop device).  A cut is
EXT4_IOC_SHUTDOWN (XFS_IOC_GOINGDOWN is the same number): from one moment to the next nothing
reaches the device any more, what was only in memory is gone, and the log on the device is what the
next mount goes by.  Then all processes are killed.  In `rounds`.  Needs root.  Exits 1 where the
promise was broken.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random

import click

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from proof import account, live  # noqa: E402 - found only by the line above
from proof.inline import memory  # noqa: E402
from proof.rounds import Tally, end, prove, seeded  # noqa: E402
from spoolscan.spool import Spool  # noqa: E402

_SHUTDOWN = 0x8004587D
_LOG_FLUSHED, _NOTHING_FLUSHED = 1, 2
# Megabytes, and how it is made; XFS wants no less.
_FILE_SYSTEMS = {
    "ext4": (64, ("mkfs.ext4", "-q", "-F")),
    "xfs": (300, ("mkfs.xfs", "-q", "-f")),
}
_ROUND = 25
_LIFE = 2.0  # seconds at most, from the first greeting to the cut


class Disk:
    """A file system in a file, mounted."""

    def __init__(self, kind: str, folder: Path, megabytes: int = 0) -> None:
        self.place = folder / "disk"
        self._image = folder / "image"
        size, maker = _FILE_SYSTEMS[kind]
        self.place.mkdir()
        with self._image.open("wb") as file:
            file.truncate((megabytes or size) << 20)
        subprocess.run([*maker, str(self._image)], check=True, capture_output=True)
        self.mount()

    def mount(self) -> None:
        command = ["mount", "-o", "loop", str(self._image), str(self.place)]
        subprocess.run(command, check=True, capture_output=True)

    def cut(self, flags: int) -> None:
        """Nothing goes to the device any more."""
        descriptor = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", flags))
        finally:
            os.close(descriptor)

    def unmount(self) -> None:
        """And nobody has it any more, not even a process in a mount namespace of its own."""
        _until_quiet(["umount", str(self.place)], lambda done: done.returncode == 0)
        _until_quiet(["losetup", "-j", str(self._image)], lambda done: not done.stdout)


def _until_quiet(
    command: list[str], fits: Callable[[subprocess.CompletedProcess[bytes]], bool]
) -> None:
    deadline = time.monotonic() + 60
    while not fits(done := subprocess.run(command, capture_output=True, check=False)):
        if time.monotonic() > deadline:
            raise OSError(f"{' '.join(command)}: {done.stdout + done.stderr!r}")
        time.sleep(0.01)


def absent(kind: str) -> str:
    """Why it cannot be done here; "" where it can."""
    if os.geteuid() != 0:
        return "only root may mount a disk to cut its power"
    if shutil.which(_FILE_SYSTEMS[kind][1][0]) is None:
        return f"no {_FILE_SYSTEMS[kind][1][0]} here (apt-get install e2fsprogs xfsprogs)"
    with tempfile.TemporaryDirectory(dir=memory()) as folder:
        try:
            Disk(kind, Path(folder)).unmount()
        except subprocess.CalledProcessError as error:
            return f"cannot mount {kind} here: {error.stderr.decode().strip()}"
    return ""


@contextmanager
def mounted(kind: str, folder: Path, megabytes: int = 0) -> Iterator[Disk]:
    disk = Disk(kind, folder, megabytes)
    try:
        yield disk
    finally:
        disk.unmount()


def run(kind: str, cuts: int, seed: int) -> Tally:
    """Cut it so often, then let it finish."""
    with (
        tempfile.TemporaryDirectory(prefix="spoolscan-power-", dir=memory()) as name,
        mounted(kind, Path(name)) as disk,
    ):
        return asyncio.run(_story(disk, kind, Path(name), cuts, seed))


async def _story(disk: Disk, kind: str, folder: Path, cuts: int, seed: int) -> Tally:
    tally = Tally()
    chance = Random(seed)  # noqa: S311 - the same each time
    async with live.next_hop() as peer:
        gateway = live.Gateway(disk.place / "spool", folder / "log", peer.port)
        subprocess.run(["sync", "-f", str(disk.place)], check=True)
        load = live.Load(gateway.port, folder / "ledger", seed)
        try:
            with load.on():
                for _ in range(cuts):
                    gateway.start_all()
                    await live.listening(gateway)
                    await asyncio.sleep(chance.uniform(0, _LIFE))
                    disk.cut(chance.choice((_LOG_FLUSHED, _NOTHING_FLUSHED, _NOTHING_FLUSHED)))
                    gateway.kill_all()
                    await asyncio.to_thread(disk.unmount)
                    await asyncio.to_thread(disk.mount)
                    tally.events[kind] += 1
                    tally.account.add(
                        account.visible(Spool(gateway.root), load.letters, load.letters)
                    )
            tally.account.add(await live.settle(gateway, load, peer))
        finally:
            gateway.kill_all()
        tally.promised, tally.delivered = len(load.promised), len(peer.deliveries)
    return tally


@click.command()
@click.option("--cuts", default=100, show_default=True)
@click.option("--fs", "kind", type=click.Choice(list(_FILE_SYSTEMS)), default="ext4")
@seeded
def main(cuts: int, kind: str, seed: int, jobs: int) -> None:
    """Run it and print the counts."""
    if reason := absent(kind):
        click.echo(f"{kind}: not tried: {reason}")
        return
    tally = prove(f"cuts of {kind}", partial(run, kind), cuts, _ROUND, seed=seed, jobs=jobs)
    end([tally])


if __name__ == "__main__":
    main()
