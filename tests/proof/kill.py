"""SIGKILL to any process of a loaded gateway, at any time, and count what became of its mail.

    python tests/proof/kill.py
    python tests/proof/kill.py --kills 1000 --seed 3

Of 22 kills the receiver, the scanner and the forwarder get four each, a worker five, where workers
come from one, the rest the jobs, or all at once; whatever was killed is started again.  One in
twenty hits the supervisor of `spoolscan run`, whose stages must end with it.  In `rounds`.  Exits 1
where the promise was broken.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from random import Random

import click

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from proof import live  # noqa: E402 - found only by the line above
from proof.inline import memory  # noqa: E402
from proof.rounds import Tally, end, prove, seeded  # noqa: E402

_STAGES = {"smtpd": 4, "scanmail": 4, "smtpfwdd": 4, "jobs": 2, "all": 2}
_VICTIMS = {**_STAGES, "worker": 5, "nursery": 1}
_SUPERVISED = 20  # kills for one of the supervisor
_ROUND = 50
_LIFE = 0.4  # seconds at most, between two kills


def run(kills: int, seed: int) -> Tally:
    """Kill so often, then let it finish."""
    with tempfile.TemporaryDirectory(prefix="spoolscan-kill-", dir=memory()) as folder:
        return asyncio.run(_story(Path(folder), kills, seed))


async def _story(folder: Path, kills: int, seed: int) -> Tally:
    tally = Tally()
    chance = Random(seed)  # noqa: S311 - the same each time
    supervised = kills // _SUPERVISED
    async with live.next_hop() as peer:
        gateway = live.Gateway(folder / "spool", folder / "log", peer.port)
        load = live.Load(gateway.port, folder / "ledger", seed)
        try:
            with load.on():
                gateway.start_all()
                await live.listening(gateway)
                while tally.events.total() < kills - supervised:
                    await asyncio.sleep(chance.uniform(0, _LIFE))
                    victim = chance.choices(list(_VICTIMS), list(_VICTIMS.values()))[0]
                    if await asyncio.to_thread(_kill, gateway, victim):
                        tally.events[victim] += 1
                gateway.kill_all()
                for _ in range(supervised):
                    await _kill_supervisor(gateway, chance)
                    tally.events["supervisor"] += 1
            tally.account = await live.settle(gateway, load, peer)
        finally:
            gateway.kill_all()
        tally.promised, tally.delivered = len(load.promised), len(peer.deliveries)
    return tally


def _kill(gateway: live.Gateway, victim: str) -> bool:
    """Whether there was somebody to kill.  What ended of itself is started again, too."""
    hit = victim == "all" or bool(gateway.pid(victim))
    gateway.kill_all() if victim == "all" else gateway.kill(victim)
    for name in live.STAGES:
        if not gateway.pid(name):
            gateway.start(name)
    return hit


async def _kill_supervisor(gateway: live.Gateway, chance: Random) -> None:
    with gateway.log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "spoolscan", "--spool", str(gateway.root), "run"),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    assert process.stdout is not None
    said = await process.stdout.readline()
    if said != b"READY\n":
        raise RuntimeError(f"it does not start:\n{gateway.log.read_text()[-3000:]}")
    await asyncio.sleep(chance.uniform(0, _LIFE))
    stages = live.children(process.pid)
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    async with asyncio.timeout(60):
        while any(map(live.is_alive, stages)):
            await asyncio.sleep(0.01)


@click.command()
@click.option("--kills", default=500, show_default=True)
@seeded
def main(kills: int, seed: int, jobs: int) -> None:
    """Run it and print the counts."""
    tally = prove("kills", run, kills, _ROUND, seed=seed, jobs=jobs)
    click.echo(", ".join(f"{name} {count}" for name, count in sorted(tally.events.items())))
    end([tally])


if __name__ == "__main__":
    main()
