"""The forwarder killed (SIGKILL) at random moments, against a server that counts.

A recipient is in flight at a kill when the server has the message and the spool does not know yet:
such a one is delivered to again, and nobody else is.  The server's count is read when it has read
all that the dead forwarder had sent.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from loopback import PATIENCE
from smtp_peer import Peer

from spoolscan import stage
from spoolscan.envelope import TODO, Envelope, Recipient, ScanMark
from spoolscan.forwarder.stage import Forwarding
from spoolscan.spool import STATES, Spool

_FEW = 150  # messages that are always there to be forwarded
_LIFE = 0.15  # seconds at most, from the first sign of life to the kill
_SETTINGS = """\
[site]
hostname = "me.test"
[receiver]
[forwarder]
next_hop = "smtp://127.0.0.1:{port}"
pause = 0.01
longest_pause = 0.01
"""


@dataclass
class Tally:
    """Counts of recipients, but for `kills`."""

    kills: int = 0
    everybody: int = 0
    # Whom the server had at a kill, unknown to the spool; and how often it had him then.
    in_flight: set[tuple[str, int]] = field(default_factory=set)
    delivered: Counter[str] = field(default_factory=Counter)

    @property
    def lost(self) -> int:
        return self.everybody - len(self.delivered)

    @property
    def duplicates(self) -> int:
        return self.delivered.total() - len(self.delivered)

    @property
    def wrong(self) -> bool:
        return self.lost > 0 or self.duplicates > len(self.in_flight)


def run(root: Path, kills: int, seed: int, tell: Callable[[Tally], None] | None = None) -> Tally:
    """Kill it so often in a spool under ``root``, then let it finish."""
    return asyncio.run(_story(root, kills, Random(seed), tell or (lambda _: None)))  # noqa: S311 - the same each time


def lay_out(root: Path, port: int) -> Spool:
    """A spool with the settings for this server."""
    root.chmod(0o700)
    for folder in (*STATES, "var", "etc"):
        (root / folder).mkdir(mode=0o700)
    (root / "etc" / "spoolscan.toml").write_text(_SETTINGS.format(port=port))
    return Spool(root)


def _live(root: str) -> None:
    """A life of the forwarder; in a process of its own."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)
    stage.live("smtpfwdd", Path(root), Forwarding())


async def _story(root: Path, kills: int, chance: Random, tell: Callable[[Tally], None]) -> Tally:
    tally = Tally()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["spoolscan.forwarder.stage", "spoolscan.stage"])
    async with Peer(features=("PIPELINING", "8BITMIME", "CHUNKING", "DSN")) as peer:
        spool = lay_out(root, peer.port)
        for _ in range(kills):
            _fill(spool, tally, chance)
            before = peer.connections
            life = context.Process(target=_live, args=(str(root),))
            life.start()
            await _until(lambda before=before: peer.connections > before)  # type: ignore[misc] # mypy knows no defaults of a lambda
            await asyncio.sleep(chance.uniform(0, _LIFE))
            assert life.pid is not None
            os.kill(life.pid, signal.SIGKILL)
            await asyncio.to_thread(life.join)
            await _until(lambda: peer.open == 0)
            tally.kills += 1
            _count(spool, peer, tally)
            tell(tally)
        life = context.Process(target=_live, args=(str(root),))
        life.start()
        await _until(lambda: not spool.entries("outgoing"))
        life.terminate()
        await asyncio.to_thread(life.join)
        tally.delivered = Counter(peer.recipients)
    return tally


def _fill(spool: Spool, tally: Tally, chance: Random) -> None:
    for _ in range(_FEW - len(spool.entries("outgoing"))):
        to = [f"r{tally.everybody + one}@example.com" for one in range(chance.choice((1, 1, 2, 5)))]
        tally.everybody += len(to)
        envelope = Envelope("a@example.org", tuple(map(Recipient, to)), scan=ScanMark("clean"))
        draft = spool.draft(envelope)
        draft.write(
            b"Subject: x\r\n\r\n" + b"a line of some length\r\n" * chance.choice((1, 40, 5000))
        )
        draft.commit(to="outgoing")


def _count(spool: Spool, peer: Peer, tally: Tally) -> None:
    """Who will be delivered to again: the server has him, and the spool has him as to do."""
    has = Counter(peer.recipients)
    for entry in spool.entries("outgoing"):
        with spool.open("outgoing", entry.queue_id) as message:
            for one in message.envelope.recipients:
                if one.state == TODO and has[one.address]:
                    tally.in_flight.add((one.address, has[one.address]))


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.002)
