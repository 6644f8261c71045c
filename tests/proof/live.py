"""A gateway of real processes under load, each to be killed at any time; and the ledger outside it.

The stages are forked from one process that has everything loaded, so that they start fast.  The
next hop and the senders live in the process that proves.  A sender gives each letter until it is
taken, and enters it in the ledger (a file that no stage knows of) when it has read the "250".
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import re
import signal
import smtplib
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from random import Random

import pytest
from loopback import PATIENCE, answers, free_port
from smtp_peer import Peer

from proof import account
from proof.mail import ALICE, GONE, KINDS, Letter, make
from spoolscan import stage
from spoolscan.cli.init import lay_out
from spoolscan.forwarder.stage import Forwarding
from spoolscan.jobs.stage import Timed
from spoolscan.receiver.stage import Receiving
from spoolscan.scanner.stage import Scanning
from spoolscan.spool import Spool

STAGES: dict[str, Callable[[], stage.Work]] = {
    "smtpfwdd": Forwarding,
    "scanmail": Scanning,
    "smtpd": Receiving,
    "jobs": Timed,
}
_SETTINGS = {
    "site": 'hostname = "gate.example.com"',
    "receiver": "reverse_lookup = false\nmin_free = 0\nmin_inodes = 0",
    "scanner": 'workers = 1\nretry = "0.2s"\nattempts = 1000',
    "forwarder": 'pause = "0.05s"\nlongest_pause = "0.2s"',
}
# What a stage loads only when it lives, and what the commands that prove are made of.
_LOADED = ["proof.live", "proof.outside", "spoolscan.scanner.daemon", "encodings.utf_8_sig"]
_context = multiprocessing.get_context("forkserver")


@cache
def _nursery() -> None:
    """Have the process started that all stages are forked from.

    It is not told where modules lie, and is silent about those that it does not find.
    """
    _context.set_forkserver_preload(_LOADED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()


def _live(name: str, root: str, log: str, held: bool) -> None:
    """A life of a stage; in a process of its own.  ``held``: it begins when it gets SIGCONT."""
    os.setsid()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    if held:
        os.kill(os.getpid(), signal.SIGSTOP)
    stage.live(name, Path(root), STAGES[name]())


def configure(root: Path, settings: dict[str, str]) -> None:
    """Lines for sections of the settings; what was said of the same keys there goes."""
    path = root / "etc/spoolscan.toml"
    text = path.read_text()
    for section, lines in settings.items():
        head, title, rest = text.partition(f"\n[{section}]\n")
        body, bracket, tail = rest.partition("\n[")
        for line in lines.splitlines():
            body = re.sub(rf"(?m)^#?{line.split(' = ')[0]} = .*\n", "", body)
        text = f"{head}{title}{lines}\n{body}{bracket}{tail}"
    path.write_text(text)


class Gateway:
    """The stages on one spool; ``log`` and all that proves lie elsewhere."""

    def __init__(self, root: Path, log: Path, next_hop: int, network: str = "127.0.0.1/32") -> None:
        """Those of ``network`` are ours, and never put off."""
        self.root = root
        self.port = free_port()
        self.log = log
        self._processes: dict[str, ForkServerProcess] = {}
        self._workers: list[int] = []
        lay_out(
            root,
            {
                "domains": ["example.com"],
                "networks": [network],
                "admin": "postmaster@example.com",
                "listen": [f"127.0.0.1:{self.port}"],
                "next_hop": f"smtp://127.0.0.1:{next_hop}",
            },
        )
        configure(root, _SETTINGS)

    def start(self, name: str, *, held: bool = False) -> None:
        """One stage; one that is ``held`` does nothing until it is let go."""
        _nursery()
        arguments = (name, str(self.root), str(self.log), held)
        process = _context.Process(target=_live, args=arguments)
        process.start()
        self._processes[name] = process
        while held and not _is_in(self.pid(name), "T"):
            time.sleep(0.002)

    def let_go(self, name: str) -> None:
        """Begin to live."""
        os.kill(self.pid(name), signal.SIGCONT)

    def start_all(self) -> None:
        for name in STAGES:
            self.start(name)

    def pid(self, name: str) -> int:
        """Of a stage, "nursery" or "worker"; 0 while there is none."""
        nurseries = children(self.pid("scanmail")) if name in ("nursery", "worker") else []
        if name == "nursery":
            return next(iter(nurseries), 0)
        if name == "worker":
            return next((pid for nursery in nurseries for pid in children(nursery)), 0)
        process = self._processes.get(name)
        return process.pid or 0 if process is not None and process.is_alive() else 0

    def signal(self, number: signal.Signals) -> None:
        """All stages."""
        for pid in filter(None, map(self.pid, STAGES)):
            os.kill(pid, number)

    def kill(self, name: str) -> None:
        """SIGKILL, and it is gone when this returns.  The workers of a killed scanner end, too."""
        pid = self.pid(name)
        below = [one for child in children(pid) for one in (child, *children(child))]
        if name == "nursery":
            below = []  # who was born lives on
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if name in self._processes:
            self._processes.pop(name).join()
        for one in below:
            while is_alive(one):
                time.sleep(0.002)

    def kill_all(self) -> None:
        """As the power does it: first all of them, and then we look."""
        pids = [pid for name in (*STAGES, "worker") if (pid := self.pid(name))]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for name in list(self._processes):
            self._processes.pop(name).join()
        for pid in pids:
            while is_alive(pid):
                time.sleep(0.002)

    def dead(self) -> list[str]:
        """Stages that ended without having been told to."""
        return [name for name, process in self._processes.items() if not process.is_alive()]


def children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):  # its threads come and go
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and not _is_in(pid, "Z")


def _is_in(pid: int, state: str) -> bool:
    """As proc(5) has it."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return f") {state} " in Path(f"/proc/{pid}/stat").read_text()
    return False


class Load:
    """Other sites' mail servers: so many threads that send one letter after the other."""

    def __init__(self, port: int, ledger: Path, seed: int, *, threads: int = 2) -> None:
        self.letters: dict[str, Letter] = {}
        self.promised: list[str] = []
        self._port = port
        self._ledger = ledger
        self._chance = Random(seed)  # noqa: S311 - the same each time
        self._lock = threading.Lock()
        self._enough = threading.Event()
        self._may_send = threading.Event()
        self._may_send.set()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    @contextmanager
    def on(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._enough.set()
            for thread in self._threads:
                thread.join()

    def pause(self) -> None:
        """No letter is begun until `go_on`."""
        self._may_send.clear()

    def go_on(self) -> None:
        self._may_send.set()

    def _run(self) -> None:
        while not self._enough.is_set():
            if not self._may_send.wait(0.05):
                continue
            with self._lock:
                kind = self._chance.choices(KINDS, (8, 2, 1, 1))[0]
                length = self._chance.choice((300, 3000, 3000, 40_000))
                letter = make(kind, len(self.letters), length)
                self.letters[letter.name] = letter
            while not self._enough.is_set() and not self._send(letter):
                self._enough.wait(0.02)

    def _send(self, letter: Letter) -> bool:
        try:
            with smtplib.SMTP("127.0.0.1", self._port, timeout=30) as client:
                client.ehlo("mail.example.net")
                for code, _ in (
                    client.mail(ALICE),
                    *(client.rcpt(address) for address in letter.recipients),
                ):
                    if code != 250:
                        return False
                code, _ = client.data(letter.data)
                if code != 250:
                    return False
                with self._lock:
                    self.promised.append(letter.name)
                    with self._ledger.open("a") as file:
                        file.write(f"{letter.name}\n")
                return True
        except (OSError, smtplib.SMTPException):
            # Only what follows a 250 (QUIT) may fail without harm, and that is entered by then.
            return letter.name in self.promised


@asynccontextmanager
async def next_hop() -> AsyncIterator[Peer]:
    """It takes all but one recipient, and remembers."""
    refused = {"RCPT": lambda path: "550 5.1.1 nobody" if path == GONE else "250 2.1.5 ok"}
    async with Peer(refused, features=("PIPELINING", "8BITMIME")) as peer:
        yield peer


async def drained(gateway: Gateway, spool: Spool) -> None:
    """Nothing waits any more.  Raises TimeoutError where something does for ever."""
    deadline = time.monotonic() + PATIENCE
    quiet = 0
    while quiet < 3:  # in a row: what is put back moves against the order in which we look
        for name in gateway.dead():
            gateway.start(name)
        waits = [
            one for state in ("incoming", "scanning", "outgoing") for one in spool.names(state)
        ]
        quiet = 0 if waits else quiet + 1
        if time.monotonic() > deadline:
            raise TimeoutError(f"{waits} wait for ever:\n{gateway.log.read_text()[-3000:]}")
        await asyncio.sleep(0.05)


async def listening(gateway: Gateway) -> None:
    deadline = time.monotonic() + PATIENCE
    while not await asyncio.to_thread(answers, gateway.port):
        if gateway.dead() or time.monotonic() > deadline:
            raise TimeoutError(f"it does not start:\n{gateway.log.read_text()[-3000:]}")
        await asyncio.sleep(0.01)


async def goes_on(gateway: Gateway, load: Load, peer: Peer, more: int = 3) -> None:
    """So many letters are taken and delivered from now on.  Raises TimeoutError where none are."""
    delivered = len(peer.deliveries) + more
    await taken(gateway, load, more)
    await until(gateway, lambda: len(peer.deliveries) >= delivered)


async def taken(gateway: Gateway, load: Load, more: int) -> None:
    """So many letters are from now on."""
    wanted = len(load.promised) + more
    await until(gateway, lambda: len(load.promised) >= wanted)


async def until(gateway: Gateway, true: Callable[[], bool]) -> None:
    """Wait; whatever ended is started again meanwhile.  Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        for name in gateway.dead():
            gateway.start(name)
        if time.monotonic() > deadline:
            raise TimeoutError(f"it does not go on:\n{gateway.log.read_text()[-3000:]}")
        await asyncio.sleep(0.02)


async def settle(gateway: Gateway, load: Load, peer: Peer) -> account.Account:
    """Let all of it end, and count."""
    gateway.kill_all()
    spool = Spool(gateway.root)
    for state in ("incoming", "scanning", "outgoing"):  # what failed is not waited for
        for queue_id in spool.names(state):
            spool.defer(spool.path(state, queue_id), time.time())
    gateway.start_all()
    await drained(gateway, spool)
    gateway.kill_all()
    delivered = [one.data for one in peer.deliveries]
    return account.settle(spool, load.letters, load.promised, delivered)
