"""A receiver over real sockets into a real spool, and a peer that says exactly what it is told."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import certificates
import pytest

from spoolscan import config
from spoolscan.config import TLS, Site
from spoolscan.envelope import Envelope
from spoolscan.receiver.server import Receiver
from spoolscan.spool import Spool

HOST = "gate.site.example"


@dataclass(frozen=True)
class Settings:
    """What a receiver is made with; loopback is an outside peer, unless a test says otherwise."""

    site: Site = Site(hostname=HOST, domains=("site.example",), networks=())
    receiver: config.Receiver = config.Receiver(
        listen=("127.0.0.1:0",), max_size=300_000, reverse_lookup=False, probe_interval=0.0
    )

    def but(self, **changes: object) -> Settings:
        return replace(self, receiver=self.receiver.model_copy(update=changes))


SETTINGS = Settings()
OWN = Settings(SETTINGS.site.model_copy(update={"networks": ("127.0.0.0/8", "::1/128")}))
SECURE = SETTINGS.but(tls=TLS(certificate="gate.pem"), listen_tls=("127.0.0.1:0",))
MESSAGE = b"Subject: hello\r\n\r\n.one dot\r\nend\r\n"


def certify(spool: Spool) -> bytes:
    """A new certificate in the spool; returns it as DER."""
    issued = certificates.authority().issue_cert(HOST, "127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(Path(spool.root) / "gate.pem")
    return ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode("ascii"))


def client_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    certificates.authority().configure_trust(context)
    return context


def stored(spool: Spool) -> list[tuple[Envelope, bytes, bytes]]:
    """What lies in incoming/: envelope, our Received field, and the bytes under it."""
    found = []
    for entry in spool.entries("incoming"):
        with spool.open("incoming", entry.queue_id) as message:
            text = message.read()
            field = re.match(rb"(?s:Received: .*?\r\n)(?![\t ])", text)
            assert field is not None
            found.append((message.envelope, field[0], text[field.end() :]))
    return found


def drafts(spool: Spool) -> list[str]:
    return os.listdir(spool.path("tmp"))


def make(settings: Settings, spool: Spool) -> Receiver:
    return Receiver(settings.site, settings.receiver, spool)


@asynccontextmanager
async def receiving(spool: Spool, settings: Settings = SETTINGS) -> AsyncIterator[Receiver]:
    receiver = make(settings, spool)
    await receiver.start()
    try:
        yield receiver
    finally:
        await receiver.stop(grace=5)


@dataclass
class Peer:
    """A client that says exactly what it is told to."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def reply(self) -> str:
        """The last line of the next reply; "" at the end of the connection."""
        while line := await self.reader.readline():
            if line[3:4] == b" ":
                return line.decode("ascii").rstrip("\r\n")
        return ""

    async def say(self, line: bytes) -> str:
        self.writer.write(line + b"\r\n")
        return await self.reply()

    async def begin(self) -> None:
        """From the banner up to 354."""
        assert (await self.reply()).startswith("220 ")
        assert (await self.say(b"EHLO client.example")).startswith("250 ")
        assert (await self.say(b"MAIL FROM:<a@b.example>")).startswith("250 ")
        assert (await self.say(b"RCPT TO:<bob@site.example>")).startswith("250 ")
        assert (await self.say(b"DATA")).startswith("354 ")


@asynccontextmanager
async def connected(receiver: Receiver) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection(*receiver.addresses[0])
    peer = Peer(reader, writer)
    try:
        yield peer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def need(program: str) -> str:
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if path is None:
        pytest.skip(f"{program} is not installed: the receiver was not tried with it")
    return path


async def run(*argv: str) -> str:
    done = await asyncio.to_thread(
        subprocess.run, argv, check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
