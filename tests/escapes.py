"""Attempts to get out of the locked room, each made from inside a locked half as a worker has it.

    python tests/escapes.py MODE PREY

PREY is JSON (`Prey`); MODE "open" makes the attempts without a room, "locked" with it, and
"without MEASURE" in a room whose kernel lacks one measure, "unprivileged" in that of a worker that
was not started as root.  Prints a JSON object: for each attempt
"succeeded", or how it was refused.

The attempts are an embedded engine's scan: as far as the rest of the worker is concerned they are
code that a hostile message made the reader run.  Each goes straight for the system call.  Long, for
it is one list, in which whoever looks for a way that nobody tried reads what was.
"""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import json
import math
import mmap
import os
import platform
import signal
import socket
import struct
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from asking import judge

from spoolscan.scanner import inside, room, wire
from spoolscan.scanner.broker import Broker
from spoolscan.scanner.engines import Sample
from spoolscan.scanner.engines.yara import Yara
from spoolscan.scanner.inspect import Tools
from spoolscan.scanner.patterns import Patterns
from spoolscan.scanner.room import Unsupported, identity, landlock, limits, seccomp
from spoolscan.verdict import Finding, Verdict

MEMORY = 256 << 20
_SCRATCH = 1 << 20
_MAIL = b"Content-Type: application/pdf; name=a.pdf\r\n\r\n%PDF-1.4 nothing in it\r\n"
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_ON_X86 = platform.machine() == "x86_64"


@dataclasses.dataclass(frozen=True)
class Prey:
    """What there is to be had outside; anybody may reach it, were there no room."""

    place: str  # a directory, with "file" in it, "folder" and a "message"
    tcp: int  # a port of 127.0.0.1 where somebody listens
    unix: str  # a socket where somebody listens
    abstract: str  # the same, without its first NUL
    victim: int  # a process of the same user
    doomed: int  # another one, which may be killed


Attempt = Callable[[Prey], object]
ATTEMPTS: dict[str, Attempt] = {}


def attempt(function: Attempt) -> Attempt:
    """Succeeds when it returns, fails when it raises."""
    ATTEMPTS[function.__name__.replace("_", " ")] = function
    return function


def call(number: int, *arguments: object) -> int:
    """A system call by number: those above 423 are the same on all machines."""
    found: int = _libc.syscall(ctypes.c_long(number), *arguments)
    return checked(found)


def on_this(x86_64: int, aarch64: int) -> int:
    return x86_64 if _ON_X86 else aarch64


def checked(found: int | None) -> int:
    if found is None or found < 0 or found == ctypes.c_void_p(-1).value:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return found


# -- files ---------------------------------------------------------------------------------------


@attempt
def write_a_new_file(prey: Prey) -> None:
    os.close(os.open(f"{prey.place}/new", os.O_CREAT | os.O_WRONLY, 0o600))


@attempt
def overwrite_a_file(prey: Prey) -> None:
    os.close(os.open(f"{prey.place}/file", os.O_WRONLY | os.O_TRUNC))


@attempt
def read_the_accounts(prey: Prey) -> None:
    os.close(os.open("/etc/passwd", os.O_RDONLY))


@attempt
def read_another_message(prey: Prey) -> None:
    os.close(os.open(f"{prey.place}/message", os.O_RDONLY))


@attempt
def list_a_directory(prey: Prey) -> None:
    os.listdir(prey.place)


@attempt
def look_whether_a_file_is_there(prey: Prey) -> None:
    os.stat(f"{prey.place}/file")


@attempt
def make_a_symlink(prey: Prey) -> None:
    os.symlink("/etc/passwd", f"{prey.place}/symlink")


@attempt
def make_a_hard_link(prey: Prey) -> None:
    os.link(f"{prey.place}/file", f"{prey.place}/link")


@attempt
def make_a_fifo(prey: Prey) -> None:
    os.mkfifo(f"{prey.place}/fifo")


@attempt
def make_a_device(prey: Prey) -> None:
    os.mknod(f"{prey.place}/device", 0o020666, os.makedev(1, 3))


@attempt
def make_a_directory(prey: Prey) -> None:
    os.mkdir(f"{prey.place}/made")


@attempt
def rename_a_file(prey: Prey) -> None:
    os.rename(f"{prey.place}/file", f"{prey.place}/renamed")
    os.rename(f"{prey.place}/renamed", f"{prey.place}/file")


@attempt
def remove_a_directory(prey: Prey) -> None:
    os.rmdir(f"{prey.place}/folder")


@attempt
def change_a_mode(prey: Prey) -> None:
    os.chmod(f"{prey.place}/file", 0o600)


@attempt
def change_an_owner(prey: Prey) -> None:
    os.chown(f"{prey.place}/file", 12345, 12345)


@attempt
def change_the_root(prey: Prey) -> None:
    os.chroot(prey.place)


@attempt
def go_to_a_directory(prey: Prey) -> None:
    os.chdir(prey.place)


@attempt
def mount_something(prey: Prey) -> None:
    target = prey.place.encode()
    checked(_libc.mount(b"none", target, b"tmpfs", 0, None))
    checked(_libc.umount2(target, 2))


@attempt
def fill_the_disk(prey: Prey) -> None:
    descriptor = os.open(f"{prey.place}/large", os.O_CREAT | os.O_WRONLY)
    os.pwrite(descriptor, b"x", 4 * _SCRATCH)
    os.close(descriptor)


# -- the network, and other processes' sockets -----------------------------------------------------


@attempt
def connect_by_tcp(prey: Prey) -> None:
    with socket.socket() as peer:
        peer.connect(("127.0.0.1", prey.tcp))


@attempt
def send_by_udp(prey: Prey) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.sendto(b"x", ("127.0.0.1", 9))


@attempt
def listen_on_a_port(prey: Prey) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()


@attempt
def connect_to_a_unix_socket(prey: Prey) -> None:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(prey.unix)


@attempt
def connect_to_an_abstract_socket(prey: Prey) -> None:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(f"\0{prey.abstract}")


@attempt
def open_a_raw_socket(prey: Prey) -> None:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()


@attempt
def talk_to_the_kernel_by_netlink(prey: Prey) -> None:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()


# -- processes -------------------------------------------------------------------------------------


@attempt
def start_a_program(prey: Prey) -> None:
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(child, 0)


@attempt
def become_a_program(prey: Prey) -> None:
    argv = (ctypes.c_char_p * 3)(b"touch", f"{prey.place}/executed".encode(), None)
    checked(_libc.execve(b"/usr/bin/touch", argv, None))


@attempt
def fork(prey: Prey) -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)


@attempt
def clone_by_the_newer_call(prey: Prey) -> None:
    arguments = struct.pack("=8Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    child = call(435, arguments, ctypes.c_size_t(len(arguments)))
    if not child:
        os._exit(0)
    os.waitpid(child, 0)


@attempt
def start_a_thread(prey: Prey) -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


@attempt
def kill_a_sibling(prey: Prey) -> None:
    os.kill(prey.doomed, signal.SIGKILL)


@attempt
def trace_a_sibling(prey: Prey) -> None:
    seize, detach = 0x4206, 17
    nothing = ctypes.c_void_p()
    checked(_libc.ptrace(seize, prey.victim, nothing, nothing))
    _libc.ptrace(detach, prey.victim, nothing, nothing)


@attempt
def read_the_memory_of_a_sibling(prey: Prey) -> None:
    into = ctypes.create_string_buffer(8)
    here = struct.pack("=QQ", ctypes.addressof(into), 8)
    there = struct.pack("=QQ", ctypes.addressof(into), 8)
    try:
        call(on_this(310, 270), prey.victim, here, 1, there, 1, 0)
    except OSError as error:
        if error.errno != errno.EFAULT:  # there is nothing at that address, but we may look
            raise


@attempt
def open_the_memory_of_a_sibling(prey: Prey) -> None:
    os.close(os.open(f"/proc/{prey.victim}/mem", os.O_RDWR))


@attempt
def take_a_descriptor_of_a_sibling(prey: Prey) -> None:
    process = os.pidfd_open(prey.victim)
    os.close(call(438, process, 0, 0))


# -- privileges, and the kernel -------------------------------------------------------------------


@attempt
def become_root(prey: Prey) -> None:
    os.setresuid(0, 0, 0)


@attempt
def make_a_user_namespace(prey: Prey) -> None:
    checked(_libc.unshare(0x10000000))


@attempt
def enter_a_namespace(prey: Prey) -> None:
    descriptor = os.open(f"/proc/{prey.victim}/ns/net", os.O_RDONLY)
    checked(_libc.setns(descriptor, 0))


@attempt
def outlive_the_worker(prey: Prey) -> None:
    checked(_libc.prctl(1, 0, 0, 0, 0))


@attempt
def set_up_io_uring(prey: Prey) -> None:
    os.close(call(425, 1, ctypes.create_string_buffer(120)))


@attempt
def load_a_bpf_map(prey: Prey) -> None:
    array = struct.pack("=IIII", 2, 4, 4, 1).ljust(72, b"\0")
    os.close(call(on_this(321, 280), 0, array, len(array)))


@attempt
def handle_page_faults(prey: Prey) -> None:
    os.close(call(on_this(323, 282), 0))


@attempt
def watch_the_processor(prey: Prey) -> None:
    event = struct.pack("=IIQQQQQ", 1, 112, 0, 0, 0, 0, 1 << 0).ljust(112, b"\0")
    os.close(call(on_this(298, 241), event, 0, -1, -1, 0))


@attempt
def put_something_into_a_keyring(prey: Prey) -> None:
    call(on_this(248, 217), b"user", b"spoolscan-test", b"x", ctypes.c_size_t(1), -1)


# -- memory ----------------------------------------------------------------------------------------


@attempt
def eat_memory(prey: Prey) -> None:
    bytearray(2 * MEMORY)


@attempt
def eat_memory_that_no_limit_counts(prey: Prey) -> None:
    os.close(os.memfd_create("x"))


@attempt
def share_memory(prey: Prey) -> None:
    mmap.mmap(-1, 4096, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS).close()


@attempt
def share_memory_by_a_key(prey: Prey) -> None:
    segment = checked(_libc.shmget(0, ctypes.c_size_t(4096), 0o1600))
    checked(_libc.shmctl(segment, 0, None))


@attempt
def map_new_code(prey: Prey) -> None:
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    protection = mmap.PROT_READ | mmap.PROT_EXEC
    checked(_libc.mmap(None, ctypes.c_size_t(4096), protection, flags, -1, ctypes.c_long(0)))


@attempt
def make_data_into_code(prey: Prey) -> None:
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    place = checked(_libc.mmap(None, ctypes.c_size_t(4096), 3, flags, -1, ctypes.c_long(0)))
    checked(_libc.mprotect(ctypes.c_void_p(place), ctypes.c_size_t(4096), 5))


# -- how they are made ----------------------------------------------------------------------------


class Hostile(Yara):
    """An embedded engine that has been taken over."""

    def __init__(self, deed: Attempt, prey: Prey) -> None:
        self.name = "hostile"
        self._deed = deed
        self._prey = prey

    def scan(self, samples: Sequence[Sample], deadline: float = math.inf) -> list[Finding]:
        if not any(sample.data for sample in samples):
            return []  # the warm-up, before the door is shut
        try:
            self._deed(self._prey)
        except OSError as error:
            outcome = errno.errorcode.get(error.errno or 0, str(error))
        except (MemoryError, RuntimeError, ValueError) as error:
            outcome = type(error).__name__
        else:
            outcome = "succeeded"
        return [Finding(Verdict.CLEAN, (), outcome, self.name)]


def outcome(deed: Attempt, prey: Prey, plan: room.Plan | None) -> str:
    """Have one locked half read a mail, and be taken over by it."""
    tools = Tools(bad=Patterns("bad"), doc=Patterns("doc"), engines=[Hostile(deed, prey)])
    broker = Broker(tools, {}, plan, _SCRATCH)
    try:
        with tempfile.TemporaryFile() as mail:
            mail.write(_MAIL)
            mail.flush()
            answer = judge(broker, mail.fileno(), len(_MAIL))
        [finding] = answer["report"]["findings"]
        return str(finding["name"])
    except (wire.Broken, OSError) as error:
        if deed is become_a_program and Path(prey.place, "executed").exists():
            return "succeeded"
        return str(error)
    finally:
        broker.stop()


def _lacking(*_: object) -> None:
    raise Unsupported("taken away for a test")


def main(mode: str, prey: str) -> None:
    lacking = {
        "without user": (identity, "become"),
        "without landlock": (landlock, "restrict"),
        "without limits": (limits, "restrict"),
        "without seccomp": (seccomp, "restrict"),
    }
    if mode in lacking:
        setattr(*lacking[mode], _lacking)
    if mode == "unprivileged":
        inside.furnish()  # that user cannot read what we are made of
        identity.become("nobody")
    plan = None if mode == "open" else room.Plan("nobody", MEMORY, _SCRATCH)
    outside = Prey(**json.loads(prey))
    found = {name: outcome(deed, outside, plan) for name, deed in ATTEMPTS.items()}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
