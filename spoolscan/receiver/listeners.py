"""The receiver's listening sockets: opened here, or handed to us by systemd (sd_listen_fds(3)).

Sockets that were handed to us are all there are, whatever the settings say: who started us knows
where we listen.  Their names, as ``FileDescriptorName=`` gives them, say what is spoken: ``smtps``
and ``lmtp``; any other is SMTP.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from spoolscan.errors import ConfigError, TemporaryFailure
from spoolscan.receiver.door import KINDS, Door

_BACKLOG: Final = 512
_FIRST: Final = 3  # SD_LISTEN_FDS_START
_PERMISSIONS: Final = 0o660  # of a socket in the file system: its owner and its group may connect


class Listeners:
    """The doors that are open.  ``inherited`` are those that were open before us."""

    def __init__(self, inherited: Mapping[Door, list[socket.socket]]) -> None:
        self._inherited = bool(inherited)
        self._open = dict(inherited)

    def sockets(self) -> list[tuple[Door, socket.socket]]:
        return [(door, one) for door, sockets in self._open.items() for one in sockets]

    def open(self, doors: Sequence[Door]) -> None:
        """Listen where we do not yet: at all of them, or at none more.

        Raises ConfigError, TemporaryFailure.
        """
        opened: dict[Door, list[socket.socket]] = {}
        try:
            for door in doors:
                if not self._inherited and door not in self._open:
                    opened[door] = _listen(door)
        except BaseException:
            _close(opened)
            raise
        self._open.update(opened)

    def close_others(self, doors: Sequence[Door]) -> None:
        """Listen nowhere else."""
        if not self._inherited:
            _close({door: self._open.pop(door) for door in self._open.keys() - set(doors)})

    def close(self) -> None:
        """Listen nowhere."""
        _close(self._open)
        self._open = {}


def inherited() -> dict[Door, list[socket.socket]]:
    """What systemd opened for us; our children shall not think it is theirs."""
    count, pid = os.environ.get("LISTEN_FDS", ""), os.environ.get("LISTEN_PID", "")
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    for variable in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"):
        os.environ.pop(variable, None)
    found: dict[Door, list[socket.socket]] = {}
    if not count.isdecimal() or pid != str(os.getpid()):
        return found
    for number in range(int(count)):
        sock = _adopted(_FIRST + number)
        kind = next((it for it in KINDS if names[number : number + 1] == [it]), KINDS[0])
        name = sock.getsockname()
        door = Door(kind, name, None) if sock.family == socket.AF_UNIX else Door(kind, *name[:2])
        found.setdefault(door, []).append(sock)
    return found


def _adopted(descriptor: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=descriptor)
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ConfigError(f"LISTEN_FDS: descriptor {descriptor} does not listen; Accept=no")
    except OSError as error:
        what = f"LISTEN_FDS: descriptor {descriptor} is no socket: {error.strerror}"
        raise ConfigError(what) from error
    sock.setblocking(False)
    sock.set_inheritable(False)
    return sock


def _listen(door: Door) -> list[socket.socket]:
    """A listening socket for each address the host has.  Raises ConfigError, TemporaryFailure."""
    sockets: list[socket.socket] = []
    try:
        if door.local:
            sockets.append(_listen_locally(door.host))
            return sockets
        for family, kind, protocol, _, address in socket.getaddrinfo(
            door.host, door.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
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
        what = f"listening on {door}"
        if error.errno == errno.EADDRINUSE:
            raise TemporaryFailure.from_os(error, what) from error
        remedy = (
            "; ports below 1024 take CAP_NET_BIND_SERVICE, as in etc/systemd/spoolscan.service"
            if error.errno == errno.EACCES and not door.local
            else ""
        )
        reason = error.strerror or error
        raise ConfigError(f"[receiver] listen: {what}: {reason}{remedy}") from error
    return sockets


def _listen_locally(path: str) -> socket.socket:
    """Raises OSError: EADDRINUSE where anybody listens there, or something else is in the way."""
    _clear(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.bind(path)
        os.chmod(path, _PERMISSIONS)
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _clear(path: str) -> None:
    """Take away a socket that nobody listens on: whoever did was killed."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            if probe.connect_ex(path) == errno.ECONNREFUSED:
                os.unlink(path)


def _close(doors: Mapping[Door, list[socket.socket]]) -> None:
    for sockets in doors.values():
        for sock in sockets:
            sock.close()
