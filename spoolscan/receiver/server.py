"""The receiver's sockets: listens, counts connections, and stops cleanly.

Each connection becomes a task running one `Connection`.  While most connections are taken, all
have seconds where they had minutes (`patience`).  A peer beyond a limit is told 421 and closed at
once; when the process has no file descriptor left, a reserved one is given up for as long as it
takes to say so, and the queue of the kernel does not fill with peers that wait for nothing.

Fails with ConfigError or TemporaryFailure from `start`, where an address cannot be listened on.
After that no peer and no spool can make it raise.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import os
import socket
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Final

from spoolscan import config, log
from spoolscan.receiver import descriptors
from spoolscan.receiver.connection import Connection
from spoolscan.receiver.door import Door
from spoolscan.receiver.dotted import BareLF
from spoolscan.receiver.events import Terms
from spoolscan.receiver.gatekeeper import Gatekeeper
from spoolscan.receiver.house import House
from spoolscan.receiver.intake import NO_DESCRIPTORS, Intake
from spoolscan.receiver.judge import Judge, make
from spoolscan.receiver.limits import Limits
from spoolscan.receiver.link import Link
from spoolscan.receiver.listeners import Listeners, inherited
from spoolscan.receiver.patience import Patience, Stress
from spoolscan.receiver.policy import IPAddress, Policy, parse_peer
from spoolscan.receiver.reply import Reply
from spoolscan.receiver.reverse import ReverseNames
from spoolscan.receiver.tls import load_certificate
from spoolscan.receiver.visitor import Visitor
from spoolscan.spool import Room, Spool
from spoolscan.users import Users

_PAUSE_SECONDS: Final = 1.0
_TOO_MANY: Final = Reply(421, "4.7.0", "too many connections, try again later")


class Receiver:
    """Takes mail from the network into a spool.  To be made and used inside a running loop."""

    def __init__(
        self,
        site: config.Site,
        settings: config.Receiver,
        spool: Spool,
        judge: Judge | None = None,
    ) -> None:
        """``judge`` is made of the site's settings alone where none is given."""
        self._root = Path(spool.root)
        self._intake = Intake(spool, site.hostname, settings.threads, settings.probe_interval)
        self._listeners = Listeners({})
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._by_address: Counter[IPAddress] = Counter()
        self._counted: dict[asyncio.Task[None], IPAddress] = {}  # against whom
        self._limits = Limits(settings.limits, time.monotonic)
        self._spare = -1  # a file descriptor for the time when there is no other
        self._furnish(site, settings, judge)

    def _furnish(self, site: config.Site, settings: config.Receiver, judge: Judge | None) -> None:
        """What new connections are served by; those under way keep what they began with.

        Raises ConfigError, and all is as before then.
        """
        certificate = load_certificate(self._root, settings.tls)
        if self._limits.rates != settings.limits:  # what was counted still counts otherwise
            self._limits = Limits(settings.limits, time.monotonic)
        self._stress = Stress(max(1, settings.connections * settings.stress // 100))
        self._intake.watermark.leave(Room(settings.min_free, settings.min_inodes))
        descriptors.provide(settings.connections)
        self._site = site
        self._settings = settings
        networks = tuple(map(ipaddress.ip_network, site.networks))
        self._introducers = tuple(map(ipaddress.ip_network, settings.xclient_from))
        self._proxies = tuple(map(ipaddress.ip_network, settings.proxy_from))
        self._policy = Policy(frozenset(site.domains), networks)
        names = ReverseNames(settings.reverse_timeout) if settings.reverse_lookup else None
        self._house = House(
            self._policy,
            judge or make(config.Config(root=self._root, site=site, receiver=settings)),
            self._intake,
            names,
            Patience(
                settings.command_timeout,
                settings.data_timeout,
                settings.stress_timeout,
                settings.min_rate,
            ),
            self._limits,
            BareLF(settings.bare_lf),
            BareLF(settings.bare_lf_own),
            certificate,
            self._gatekeeper(settings.auth),
            settings.greet_delay,
            settings.early_talkers == "refuse",
        )

    def _gatekeeper(self, settings: config.Auth) -> Gatekeeper | None:
        if not settings.enabled:
            return None
        users = Users(self._root / settings.users)
        return Gatekeeper(users, settings.delay, settings.failures, time.monotonic)

    def _doors(self, settings: config.Receiver) -> list[Door]:
        return [
            replace(door, host=str(self._root / door.host)) if door.local else door
            for door in settings.doors
        ]

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens on the network: (address, port)."""
        sockets = self._listeners.sockets()
        return [listener.getsockname()[:2] for door, listener in sockets if not door.local]

    async def start(self) -> None:
        """Listen on all addresses, or on none.  Raises ConfigError, TemporaryFailure."""
        try:
            self._listeners = Listeners(inherited())
            self._listeners.open(self._doors(self._settings))
        except BaseException:
            self._intake.close()
            raise
        self._spare = _open_spare()
        self._resume()
        places = ", ".join(str(door) for door, _ in self._listeners.sockets())
        log.event("receiver", "-", event="listening", at=places)

    def reload(
        self, site: config.Site, settings: config.Receiver, judge: Judge | None = None
    ) -> None:
        """Serve new connections by other settings, without ceasing to listen.

        ``threads`` and ``probe_interval`` stay as they were.  Raises ConfigError, TemporaryFailure
        where a new address cannot be listened on; all is as before then.
        """
        self._listeners.open(self._doors(settings))
        self._pause()
        try:
            self._furnish(site, settings, judge)
        finally:
            self._listeners.close_others(self._doors(self._settings))
            self._resume()

    async def stop(self, grace: float) -> None:
        """Take no new connection; a message under way has ``grace`` seconds to end."""
        self._pause()
        self._listeners.close()
        for connection in self._connections.values():
            connection.stop()
        if self._connections:
            await asyncio.wait(list(self._connections), timeout=grace)
        for connection in self._connections.values():
            connection.abort()
        if self._connections:
            await asyncio.wait(list(self._connections))
        self._intake.close()
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1

    async def serve_socket(self, sock: socket.socket) -> None:
        """Talk to one peer that somebody else accepted, in place of `start`; ends when it does."""
        name = sock.getpeername()
        peer = parse_peer(name[0]) if sock.family in (socket.AF_INET, socket.AF_INET6) else None
        self._take_in(sock, peer, Door("smtp", "stdin", 0))
        await self._until_all_left()

    async def serve_pipes(self, source: IO[bytes], sink: IO[bytes]) -> None:
        """The same, to a program of this host that we do not meet over a network: it is trusted."""
        visitor = Visitor(self._policy, None, None, local=True)
        terms = self._terms(Door("smtp", "stdin", None), may_introduce=False)
        connection = Connection(self._house, replace(terms, starttls=False), visitor)
        link = await Link.over_pipes(source, sink)
        task = asyncio.get_running_loop().create_task(connection.attend(link))
        self._connections[task] = connection
        task.add_done_callback(self._farewell)
        await self._until_all_left()

    async def _until_all_left(self) -> None:
        if self._connections:
            await asyncio.wait(list(self._connections))

    # -- accepting ---------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket, door: Door) -> None:
        try:
            sock, address = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            self._cannot_accept(listener, error)
            return
        self._take_in(sock, None if door.local else parse_peer(address[0]), door)

    def _take_in(self, sock: socket.socket, peer: IPAddress | None, door: Door) -> None:
        sock.setblocking(False)
        visitor = Visitor(self._policy, self._house.names, peer, local=door.local)
        proxied = any(peer in network for network in self._proxies) if peer else False
        whose = None if proxied else visitor.owner
        if refusal := self._crowded() or (None if proxied else self._refusal(whose)):
            log.event("receiver", "-", event="denied", peer=peer, reason=refusal.text)
            _turn_away(sock, refusal)
            return
        terms = self._terms(door, may_introduce=not proxied and self._believes(peer))
        connection = Connection(self._house, terms, visitor)
        serving = connection.serve(
            sock, tls=door.kind == "smtps", admit=self._admit if proxied else None
        )
        task = asyncio.get_running_loop().create_task(serving)
        self._connections[task] = connection
        self._count(task, whose)
        task.add_done_callback(self._farewell)
        self._feel()

    def _believes(self, peer: IPAddress | None) -> bool:
        """Whether it may say, by XCLIENT and XFORWARD, for whom it speaks."""
        return peer is not None and any(peer in network for network in self._introducers)

    def _crowded(self) -> Reply | None:
        """Why one more connection is too many, whosever it is."""
        return _TOO_MANY if len(self._connections) >= self._settings.connections else None

    def _refusal(self, whose: IPAddress | None) -> Reply | None:
        """Why one more connection of this one is too many."""
        if whose and self._by_address[whose] >= self._settings.connections_per_address:
            return _TOO_MANY
        return self._limits.connection(whose)

    def _admit(self, visitor: Visitor) -> Reply | None:
        """The same, for whom a load balancer hands on; in the task of the connection."""
        task = asyncio.current_task()
        refusal = self._refusal(visitor.owner)
        if refusal is not None:
            log.event("receiver", event="denied", peer=visitor.address, reason=refusal.text)
        elif task is not None:
            self._count(task, visitor.owner)
        return refusal

    def _count(self, task: asyncio.Task[Any], whose: IPAddress | None) -> None:
        if whose is not None:
            self._counted[task] = whose
            self._by_address[whose] += 1

    def _feel(self) -> None:
        """See whether stress begins or ends; everybody is told when it begins."""
        if self._stress.changes(len(self._connections)):
            what = "stress" if self._stress.on else "calm"
            there = len(self._connections)
            log.event("receiver", "-", logging.WARNING, event=what, connections=there)
            self._house.patience.hurried = self._stress.on
            if self._stress.on:
                for connection in self._connections.values():
                    connection.hurry()

    def _terms(self, door: Door, *, may_introduce: bool) -> Terms:
        settings = self._settings
        return Terms(
            host=self._site.hostname,
            banner=settings.banner.replace("{hostname}", self._site.hostname),
            message_bytes=settings.max_size,
            recipients=settings.recipients,
            errors=settings.errors,
            idle_commands=settings.idle_commands,
            hops=settings.hops,
            own_hops=settings.own_hops,
            bare_lf=self._house.bare_lf,
            lmtp=door.kind == "lmtp",
            starttls=self._house.certificate is not None,
            auth=self._house.gatekeeper is not None and door.kind != "lmtp",
            proxy=may_introduce,
        )

    def _farewell(self, task: asyncio.Task[None]) -> None:
        del self._connections[task]
        whose = self._counted.pop(task, None)
        if whose is not None:
            self._by_address[whose] -= 1
            if not self._by_address[whose]:
                del self._by_address[whose]
        self._feel()

    def _cannot_accept(self, listener: socket.socket, error: OSError) -> None:
        """Out of descriptors or memory: say so with the spare one, or rest a while."""
        log.event("receiver", "-", logging.ERROR, event="denied", reason=error)
        if error.errno in (errno.EMFILE, errno.ENFILE) and self._spare >= 0:
            os.close(self._spare)
            self._spare = -1
            with suppress(OSError):
                _turn_away(listener.accept()[0], NO_DESCRIPTORS)
            with suppress(OSError):
                self._spare = _open_spare()
                return
        self._pause()
        asyncio.get_running_loop().call_later(_PAUSE_SECONDS, self._resume)

    def _pause(self) -> None:
        loop = asyncio.get_running_loop()
        for _, listener in self._listeners.sockets():
            loop.remove_reader(listener)

    def _resume(self) -> None:
        loop = asyncio.get_running_loop()
        if self._listeners.sockets() and self._spare < 0:
            with suppress(OSError):
                self._spare = _open_spare()
        for door, listener in self._listeners.sockets():
            loop.add_reader(listener, self._accept, listener, door)


def _open_spare() -> int:
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


def _turn_away(sock: socket.socket, reply: Reply) -> None:
    with sock, suppress(OSError):
        sock.setblocking(False)
        sock.send(reply.wire())
