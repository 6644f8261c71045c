"""A forwarder over a real spool, against a server that does what it is told."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from smtp_peer import Answer, Peer

from spoolscan import __version__, config
from spoolscan.config import Timeouts
from spoolscan.envelope import Envelope, Recipient, ScanMark
from spoolscan.forwarder.daemon import Forwarder
from spoolscan.notices import Templates
from spoolscan.spool import STATES, Spool

ETC = Path(__file__).parent.parent / "etc" / "templates"
MESSAGE = b"Received: by me.test id 1\r\nSubject: hello\r\n\r\n.dots\r\n.\r\nend\r\n"
COMPLETE = (  # Postfix adds nothing of its own to it
    b"Received: by me.test id 1\r\nFrom: alice@example.org\r\nTo: bob@example.com\r\n"
    b"Date: Sat, 21 Nov 2026 05:30:00 +0000\r\nMessage-ID: <1@me.test>\r\n\r\n.\r\n..x  \r\n"
)
MARK = f"X-Virus-Scanned: spoolscan {__version__} at me.test\r\n".encode()
ALICE = "alice@example.org"
BOB, CAROL, DAVE = "bob@example.com", "carol@example.com", "dave@example.com"
CLEAN = ScanMark("clean")
SHORT = Timeouts(connect=5, greeting=0.3, command=0.3, block=0.3, answer=0.3)


class World:
    """A spool, and a forwarder with the settings of the test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for state in STATES:
            (root / state).mkdir(mode=0o700)
        self.spool = Spool(root)
        self.settings = config.Forwarder()

    def put(
        self,
        *recipients: str,
        sender: str = ALICE,
        data: bytes = MESSAGE,
        scan: ScanMark = CLEAN,
        age: float = 0,
    ) -> str:
        """A message in outgoing/ that arrived ``age`` seconds ago."""
        arrived = datetime.now(UTC) - timedelta(seconds=age)
        to = tuple(Recipient(address) for address in recipients or (BOB,))
        draft = self.spool.draft(Envelope(sender, to, scan=scan, arrived=arrived))
        draft.write(data)
        return draft.commit(to="outgoing")

    def forwarder(self, **values: object) -> Forwarder:
        settings = config.Config(
            root=self.root,
            site=config.Site(hostname="me.test"),
            forwarder=self.settings.model_copy(update=values),
        )
        return Forwarder(settings, self.spool, Templates([ETC]))

    async def once(self, peer: Peer | None = None, **values: object) -> None:
        if peer is not None:
            scheme = "lmtp" if peer.lmtp else "smtp"
            values["next_hop"] = f"{scheme}://127.0.0.1:{peer.port}"
        await self.forwarder(**values).run_once()

    def against(self, peer: Peer, times: int = 1, **values: object) -> Peer:
        """``run_once`` with this next hop."""

        async def main() -> None:
            async with peer:
                for _ in range(times):
                    await self.once(peer, **values)

        asyncio.run(main())
        return peer

    def names(self, state: str) -> list[str]:
        return sorted(os.listdir(self.root / state))

    def states(self, queue_id: str, state: str = "outgoing") -> list[str]:
        with self.spool.open(state, queue_id) as message:
            return [recipient.state for recipient in message.envelope.recipients]

    def delay(self, queue_id: str) -> float:
        return (self.root / "outgoing" / queue_id).stat().st_mtime - time.time()

    def reports(self) -> list[str]:
        """Recipients of the reports that lie in outgoing/."""
        found = []
        for entry in self.spool.entries("outgoing"):
            with self.spool.open("outgoing", entry.queue_id) as message:
                if b"multipart/report" in message.read(0, 2000):
                    assert message.envelope.sender == ""
                    found += [recipient.address for recipient in message.envelope.recipients]
        return found


def mixed(address: str) -> Answer:
    """To RCPT: one has it, one later, one never."""
    return {BOB: "250 ok", CAROL: "450 4.2.0 later", DAVE: "550 5.1.1 never"}.get(address, "250 ok")


def running(world: World, peer: Peer, until: Callable[[], bool], **values: object) -> None:
    """`Forwarder.run`, told to stop when something is true."""

    async def main() -> None:
        async with peer:
            stop = asyncio.Event()
            values.setdefault("next_hop", f"smtp://127.0.0.1:{peer.port}")
            task = asyncio.create_task(world.forwarder(**values).run(stop))
            while not until():
                assert not task.done()
                await asyncio.sleep(0.01)
            stop.set()
            await task

    asyncio.run(main())
