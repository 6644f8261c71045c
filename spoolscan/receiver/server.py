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
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from spoolscan import config, log
from spoolscan.errors import ConfigError, TemporaryFailure
from spoolscan.receiver import descriptors
from spoolscan.receiver.connection import Connection, House
from spoolscan.receiver.dotted import BareLF
from spoolscan.receiver.events import Terms
from spoolscan.receiver.intake import NO_DESCRIPTORS, Intake
from spoolscan.receiver.judge import Judge, make
from spoolscan.receiver.limits import Limits, owner
from spoolscan.receiver.patience import Patience, Stress
from spoolscan.receiver.policy import IPAddress, Policy, parse_peer
from spoolscan.receiver.reply import Reply
from spoolscan.receiver.reverse import ReverseNames
from spoolscan.spool import Room, Spool

_BACKLOG: Final = 512
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
        self._listeners: dict[tuple[str, int], list[socket.socket]] = {}
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._by_address: Counter[IPAddress] = Counter()
        self._limits = Limits(settings.limits, time.monotonic)
        self._spare = -1  # a file descriptor for the time when there is no other
        self._furnish(site, settings, judge)

    def _furnish(self, site: config.Site, settings: config.Receiver, judge: Judge | None) -> None:
        """What new connections are served by; those under way keep what they began with."""
        if self._limits.rates != settings.limits:  # what was counted still counts otherwise
            self._limits = Limits(settings.limits, time.monotonic)
        self._stress = Stress(max(1, settings.connections * settings.stress // 100))
        self._intake.watermark.leave(Room(settings.min_free, settings.min_inodes))
        descriptors.provide(settings.connections)
        self._site = site
        self._settings = settings
        networks = tuple(map(ipaddress.ip_network, site.networks))
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
            settings.greet_delay,
            settings.early_talkers == "refuse",
        )

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens: (address, port)."""
        return [listener.getsockname()[:2] for listener in self._sockets()]

    async def start(self) -> None:
        """Listen on all addresses, or on none.  Raises ConfigError, TemporaryFailure."""
        try:
            self._open_listeners(self._settings.addresses)
        except BaseException:
            self._intake.close()
            raise
        self._spare = _open_spare()
        self._resume()
        places = ", ".join(f"{host}:{port}" for host, port in self.addresses)
        log.event("receiver", "-", event="listening", at=places)

    def reload(
        self, site: config.Site, settings: config.Receiver, judge: Judge | None = None
    ) -> None:
        """Serve new connections by other settings, without ceasing to listen.

        ``threads`` and ``probe_interval`` stay as they were.  Raises ConfigError, TemporaryFailure
        where a new address cannot be listened on; all is as before then.
        """
        self._open_listeners(settings.addresses)
        self._pause()
        for address in self._listeners.keys() - set(settings.addresses):
            for listener in self._listeners.pop(address):
                listener.close()
        self._furnish(site, settings, judge)
        self._resume()

    async def stop(self, grace: float) -> None:
        """Take no new connection; a message under way has ``grace`` seconds to end."""
        self._pause()
        self._close_listeners()
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

    # -- accepting ---------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, address = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            self._cannot_accept(listener, error)
            return
        sock.setblocking(False)
        peer = parse_peer(address[0])
        whose = None if self._policy.trusts(peer) else owner(peer)
        if refusal := self._refusal(whose):
            log.event("receiver", "-", event="denied", peer=peer, reason=refusal.text)
            _turn_away(sock, refusal)
            return
        self._welcome(sock, peer, whose)
        self._feel()

    def _refusal(self, whose: IPAddress | None) -> Reply | None:
        """Why one more connection is too many."""
        if len(self._connections) >= self._settings.connections:
            return _TOO_MANY
        if whose and self._by_address[whose] >= self._settings.connections_per_address:
            return _TOO_MANY
        return self._limits.connection(whose)

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

    def _welcome(
        self, sock: socket.socket, peer: IPAddress | None, whose: IPAddress | None
    ) -> None:
        settings = self._settings
        trusted = self._policy.trusts(peer)
        terms = Terms(
            host=self._site.hostname,
            banner=settings.banner.replace("{hostname}", self._site.hostname),
            message_bytes=settings.max_size,
            recipients=settings.recipients,
            errors=settings.errors,
            idle_commands=settings.idle_commands,
            hops=settings.hops,
            own_hops=settings.own_hops,
            bare_lf=BareLF(settings.bare_lf_own if trusted else settings.bare_lf),
        )
        connection = Connection(self._house, terms, peer)
        task = asyncio.get_running_loop().create_task(connection.serve(sock, _sent_early(sock)))
        self._connections[task] = connection
        if whose is not None:
            self._by_address[whose] += 1
        task.add_done_callback(lambda done: self._farewell(done, whose))

    def _farewell(self, task: asyncio.Task[None], whose: IPAddress | None) -> None:
        del self._connections[task]
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
        for listener in self._sockets():
            loop.remove_reader(listener)

    def _resume(self) -> None:
        loop = asyncio.get_running_loop()
        if self._listeners and self._spare < 0:
            with suppress(OSError):
                self._spare = _open_spare()
        for listener in self._sockets():
            loop.add_reader(listener, self._accept, listener)

    def _sockets(self) -> list[socket.socket]:
        return [listener for listeners in self._listeners.values() for listener in listeners]

    def _open_listeners(self, addresses: Sequence[tuple[str, int]]) -> None:
        """Listen where we do not yet: on all of them, or on none more."""
        opened: dict[tuple[str, int], list[socket.socket]] = {}
        try:
            for host, port in addresses:
                if (host, port) not in self._listeners:
                    opened[host, port] = _listen(host, port)
        except BaseException:
            for listeners in opened.values():
                for listener in listeners:
                    listener.close()
            raise
        self._listeners.update(opened)

    def _close_listeners(self) -> None:
        for listener in self._sockets():
            listener.close()
        self._listeners.clear()


def _listen(host: str, port: int) -> list[socket.socket]:
    """A listening socket for each address the host has.  Raises ConfigError, TemporaryFailure."""
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            sock = socket.socket(family, kind, protocol)
            sockets.append(sock)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:  # so that [::]:25 and 0.0.0.0:25 can both be given
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            sock.listen(_BACKLOG)
    except OSError as error:
        for sock in sockets:
            sock.close()
        what = f"listening on {host}:{port}"
        if error.errno == errno.EADDRINUSE:
            raise TemporaryFailure.from_os(error, what) from error
        remedy = (
            "; ports below 1024 take CAP_NET_BIND_SERVICE, as in etc/systemd/spoolscan.service"
            if error.errno == errno.EACCES
            else ""
        )
        reason = error.strerror or error
        raise ConfigError(f"[receiver] listen: {what}: {reason}{remedy}") from error
    return sockets


def _open_spare() -> int:
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


def _sent_early(sock: socket.socket) -> bytes:
    """One byte, where the peer sent any before it was greeted."""
    try:
        return sock.recv(1, socket.MSG_PEEK)
    except OSError:
        return b""


def _turn_away(sock: socket.socket, reply: Reply) -> None:
    with sock, suppress(OSError):
        sock.setblocking(False)
        sock.send(reply.wire())
