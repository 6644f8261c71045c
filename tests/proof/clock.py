"""The clock on the wall leaps under a loaded gateway, ten years on or back, and perhaps returns.

    python tests/proof/clock.py
    python tests/proof/clock.py --row "ten years on, and back again"

Mail is put off before a leap and after it: the next hop says "later" to some, and answers nobody
for a while.  Then the stages come to rest (none of them is busy with nothing), the next hop is
well, and all goes on by itself.  A letter that was given up counts as lost, one that fell out of
the quarantine too.  The stages see the time that faketime shows them, but for their counters.  (A
leap back by less than a day cannot be shown so: the kernel, whose clock stays, would date what is
new into the future.)  Exits 1 where the promise was broken.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from load import processes  # noqa: E402 - found only by the line above
from smtp_peer import Peer  # noqa: E402

from proof import live  # noqa: E402
from proof.inline import memory  # noqa: E402
from proof.rounds import Tally, by_row, chosen, end, show  # noqa: E402
from spoolscan.spool import Spool  # noqa: E402

_TEN_YEARS = 10 * 365 * 86_400
_DAY = 86_400
_WINDOW = 2.0  # seconds
_IDLE = 0.1  # share of them that a stage at rest may be busy
_UNREST = 300.0  # seconds; each letter is looked at once more, and its sender told of the delay
_TRUST = {
    "NO_FAKE_STAT": "1",
    "FAKETIME_NO_CACHE": "1",
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
}


@dataclass(frozen=True)
class Row:
    """Seconds by which the clock is wrong, one after the other; ``anew``: the stages start then."""

    what: str
    leaps: tuple[int, ...]
    anew: bool = False


ROWS = (
    Row("ten years on", (_TEN_YEARS,)),
    Row("ten years back", (-_TEN_YEARS,)),
    Row("ten years on, and back again", (_TEN_YEARS, 0)),
    Row("ten years back, and on again", (-_TEN_YEARS, 0)),
    Row("a start ten years on, and one when it is right", (_TEN_YEARS, 0), anew=True),
    Row("a start ten years back, and one when it is right", (-_TEN_YEARS, 0), anew=True),
    Row("a day on, and back again", (_DAY, 0)),
)
_QUICK = ("ten years on, and back again", "ten years back, and on again")


def absent() -> str:
    """Why it cannot be done here; "" where it can."""
    return "" if _library() else "no faketime here (apt-get install faketime)"


def _library() -> str:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return str(found[0]) if found else ""


def run(row: Row, seed: int) -> Tally:
    """From the right time on."""
    with (
        tempfile.TemporaryDirectory(prefix="spoolscan-clock-", dir=memory()) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        # The process that all stages are forked from lives as long as this one, and goes by it.
        clock = Path(folder).with_name(f"spoolscan-clock.{os.getpid()}")
        values = {"LD_PRELOAD": _library(), "FAKETIME_TIMESTAMP_FILE": str(clock), **_TRUST}
        for name, value in values.items():
            patch.setenv(name, value)
        _set(clock, 0)
        try:
            return asyncio.run(_story(row, Path(folder), clock, seed))
        finally:
            clock.unlink()


def _set(clock: Path, wrong: int) -> None:
    """In one step: it is read at any moment."""
    draft = clock.with_name(f"{clock.name}.new")  # others have clocks of their own
    draft.write_text(f"{wrong:+d}\n")
    draft.rename(clock)


async def _story(row: Row, folder: Path, clock: Path, seed: int) -> Tally:
    tally = Tally()
    async with live.next_hop() as peer:
        gateway = live.Gateway(folder / "spool", folder / "log", peer.port)
        load = live.Load(gateway.port, folder / "ledger", seed, threads=1)
        well = dict(peer.answers)
        try:
            gateway.start_all()
            await live.listening(gateway)
            with load.on():
                await live.goes_on(gateway, load, peer)
                before = 0
                for number, wrong in enumerate(row.leaps, 1):
                    if row.anew or before >= 0:
                        await _put_off(gateway, load, peer)
                    else:
                        load.pause()
                        await live.drained(gateway, Spool(gateway.root))
                    if row.anew:
                        await asyncio.to_thread(gateway.kill_all)
                    since = len(peer.deliveries)
                    _leap(gateway, clock, before, wrong)
                    load.go_on()
                    if row.anew:
                        gateway.start_all()
                    if row.anew or wrong >= 0 or number == len(row.leaps):
                        await _put_off(gateway, load, peer)
                        load.pause()
                        await _at_rest(gateway)
                        load.go_on()
                    peer.answers = dict(well)
                    await live.goes_on(gateway, load, peer)
                    await _seen(gateway, peer, since, wrong)
                    before = wrong
                    tally.events["leaps"] += 1
            tally.account = await live.settle(gateway, load, peer)
        finally:
            gateway.kill_all()
        tally.promised, tally.delivered = len(load.promised), len(peer.deliveries)
    return tally


async def _put_off(gateway: live.Gateway, load: live.Load, peer: Peer) -> None:
    """Some letters, in either way."""
    for ill in ({"RCPT": "450 4.2.0 later"}, {"CONNECT": "421 4.3.0 later"}):
        peer.answers.update(ill)
        await live.taken(gateway, load, 5)


def _leap(gateway: live.Gateway, clock: Path, before: int, after: int) -> None:
    """From one moment to the next.

    The kernel dates a file that it writes by its own clock, which never leaps here: what was dated
    so since the last leap gets the time that the stages saw.  What a stage remembers of a file
    cannot be mended so; that is why nothing waits when the clock leaps out of the past, unless all
    start anew.
    """
    gateway.signal(signal.SIGSTOP)
    for state in ("incoming", "scanning", "outgoing"):
        for path in (gateway.root / state).iterdir():
            when = path.stat().st_mtime
            if abs(when - time.time()) < _DAY / 2:
                os.utime(path, (when + before, when + before))
    _set(clock, after)
    gateway.signal(signal.SIGCONT)


async def _seen(gateway: live.Gateway, peer: Peer, since: int, wrong: int) -> None:
    """A stage has written a date since then that is as wrong."""
    month = datetime.fromtimestamp(time.time() + wrong, UTC).strftime(" %b %Y ").encode()
    await live.until(gateway, lambda: any(month in one.data for one in peer.deliveries[since:]))


async def _at_rest(gateway: live.Gateway) -> None:
    """Nobody sends, and nobody can be sent to.  Raises TimeoutError where a stage stays busy."""
    deadline = time.monotonic() + _UNREST
    while True:
        pids = {name: gateway.pid(name) for name in live.STAGES}
        before = {name: processes.own_cpu(pid) for name, pid in pids.items()}
        await asyncio.sleep(_WINDOW)
        used = {name: processes.own_cpu(pid) - before[name] for name, pid in pids.items()}
        if max(used.values()) < _IDLE * _WINDOW:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"busy with nothing, seconds of {_WINDOW}: {used}")


@click.command()
@by_row("Some rows.")
def main(names: Sequence[str], quick: bool, seed: int, jobs: int) -> None:
    """Try them and print the counts."""
    if reason := absent():
        click.echo(f"not tried: {reason}")
        return
    rows = chosen(ROWS, names or (_QUICK if quick else ()))
    end(show(partial(run, seed=seed), rows, jobs).values())


if __name__ == "__main__":
    main()
