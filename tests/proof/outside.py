"""Troubles from outside, each over a gateway of real processes under load, for a while.

    python tests/proof/outside.py
    python tests/proof/outside.py --row "clamd hung"

The disk has no blocks or no inodes left, clamd is hung, slow, cut off, talks nonsense or meets its
limit, the DNS is dead.  Then the trouble ends, all goes on by itself, and is counted.  Needs root
for the disks.  Exits 1 where the promise was broken.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from clamd_server import EICAR  # noqa: E402 - found only by the line above

from proof import live, power  # noqa: E402
from proof.inline import memory  # noqa: E402
from proof.rounds import Tally, by_row, chosen, end, show  # noqa: E402

_WHILE = 1.5  # seconds that a trouble lasts
_MOODY = {
    "nonsense": b"stream: OK, I think",
    "limit": b"INSTREAM size limit exceeded. ERROR",
}
_ENGINE = """
[[engine]]
kind = "clamd"
address = "unix:{path}"
method = "instream"
timeout = "0.5s"
"""
_ZONES = """
[dnsbl]
servers = ["127.0.0.1:{port}"]
timeout = "0.3s"

[[dnsbl.zone]]
name = "bl.example.org"
"""

Trouble = Callable[[live.Gateway], AbstractAsyncContextManager[None]]


class Clamd(threading.Thread):
    """Speaks clamd's protocol, and has moods: well, hung, slow, reset, nonsense, limit."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.mood = "well"
        self._changed = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(50)

    def be(self, mood: str) -> None:
        self.mood = mood
        self._changed.set()
        self._changed = threading.Event()

    def run(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError), connection.makefile("rb") as heard:
            number = 0
            while command := _word(heard):
                if command == b"zIDSESSION":
                    continue
                if command == b"zEND":
                    return
                number += 1
                data = _stream(heard) if command == b"zINSTREAM" else b""
                said = self._say(command, data)
                if said is None:
                    return
                connection.sendall(b"%d: %s\0" % (number, said))

    def _say(self, command: bytes, data: bytes) -> bytes | None:
        if command == b"zVERSION":
            return b"ClamAV 1.4.3/27000"
        if self.mood in ("hung", "slow"):
            self._changed.wait(None if self.mood == "hung" else 0.4)
        if self.mood in ("hung", "reset"):
            return None
        found = b"stream: Eicar-Test FOUND" if EICAR in data else b"stream: OK"
        return _MOODY.get(self.mood, found)


def _word(heard: object) -> bytes:
    word = b""
    while (byte := heard.read(1)) not in (b"", b"\0"):  # type: ignore[attr-defined] # makefile's
        word += byte
    return word


def _stream(heard: object) -> bytes:
    data = b""
    while length := int.from_bytes(heard.read(4)):  # type: ignore[attr-defined] # makefile's
        data += heard.read(length)  # type: ignore[attr-defined]
    return data


@asynccontextmanager
async def _full(gateway: live.Gateway, *, by: str) -> AsyncIterator[None]:
    """The disk under the spool."""
    rubbish = gateway.root / "rubbish"
    rubbish.mkdir()
    with suppress(OSError):
        if by == "blocks":
            with (rubbish / "0").open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
        for number in range(1_000_000):
            (rubbish / str(number)).touch()
    try:
        yield
    finally:
        await asyncio.to_thread(shutil.rmtree, rubbish)


@dataclass(frozen=True)
class Row:
    """``mood`` of clamd, ``full`` by what; or a name server that is dead."""

    what: str
    mood: str = ""
    full: str = ""
    dead_dns: bool = False

    def absent(self) -> str:
        """Why it cannot be done here; "" where it can."""
        return power.absent("ext4") if self.full else ""


ROWS = (
    Row("no blocks left", full="blocks"),
    Row("no inodes left", full="inodes"),
    *(Row(f"clamd {mood}", mood=mood) for mood in ("hung", "slow", "reset", "nonsense", "limit")),
    Row("the DNS is dead", dead_dns=True),
)
_QUICK = ("no blocks left", "clamd reset", "the DNS is dead")


def run(row: Row, seed: int) -> Tally:
    """One trouble, from its beginning to a good end."""
    with ExitStack() as stack:
        name = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="spoolscan-outside-", dir=memory())
        )
        folder = Path(name)
        place = folder
        if row.full:
            place = stack.enter_context(power.mounted("ext4", folder, 12)).place
        return asyncio.run(_story(row, folder, place, seed))


async def _story(row: Row, folder: Path, place: Path, seed: int) -> Tally:
    async with live.next_hop() as peer:
        network = "127.0.0.2/32" if row.dead_dns else "127.0.0.1/32"
        gateway = live.Gateway(place / "spool", folder / "log", peer.port, network)
        trouble, clamd = _prepared(row, gateway, folder)
        load = live.Load(gateway.port, folder / "ledger", seed)
        try:
            with load.on():
                gateway.start_all()
                await live.listening(gateway)
                await live.goes_on(gateway, load, peer)
                async with trouble(gateway):
                    if clamd:
                        clamd.be(row.mood)
                    await asyncio.sleep(_WHILE)
                if clamd:
                    clamd.be("well")
                await live.goes_on(gateway, load, peer, 10)
            found = await live.settle(gateway, load, peer)
        finally:
            gateway.kill_all()
        return Tally(Counter(), len(load.promised), len(peer.deliveries), found)


def _prepared(row: Row, gateway: live.Gateway, folder: Path) -> tuple[Trouble, Clamd | None]:
    """The settings it needs, what begins it, and a clamd where it is clamd's."""
    settings = gateway.root / "etc/spoolscan.toml"
    if row.full:
        return partial(_full, by=row.full), None
    if row.dead_dns:
        text = settings.read_text().replace("\n[dnsbl]\n", _ZONES.format(port=live.free_port()), 1)
        settings.write_text(text)
        return _none, None
    path = folder / "clamd.sock"
    text = settings.read_text()
    head, _, rest = text.partition("\n[[engine]]\n")
    settings.write_text(f"{head}{_ENGINE.format(path=path)}{_next_section(rest)}")
    clamd = Clamd(path)
    clamd.start()
    return _none, clamd


def _next_section(text: str) -> str:
    return "\n[" + text.partition("\n[")[2]


@asynccontextmanager
async def _none(_: live.Gateway) -> AsyncIterator[None]:
    yield


@click.command()
@by_row("One row of each kind.")
def main(names: Sequence[str], quick: bool, seed: int, jobs: int) -> None:
    """Try them and print the counts."""
    rows = chosen(ROWS, names or (_QUICK if quick else ()))
    for what in [what for what, row in rows.items() if row.absent()]:
        click.echo(f"{what}: not tried: {rows.pop(what).absent()}")
    end(show(partial(run, seed=seed), rows, jobs).values())


if __name__ == "__main__":
    main()
