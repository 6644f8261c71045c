"""Is everything here that mail needs?  One literal table of checks, each giving rows.

Nothing is changed, no mail is sent, no stage is disturbed: what is asked is asked as a stage would
ask it.  A check that itself goes wrong is a row that fails, and the others go on.
"""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

import dns.exception
import dns.resolver

from spoolscan import __file__ as our_file
from spoolscan import __version__, config, stage
from spoolscan.config import host_port
from spoolscan.errors import SpoolscanError, TemporaryFailure
from spoolscan.log import safe
from spoolscan.notices import Templates
from spoolscan.scanner import room, worker
from spoolscan.scanner.engines import Engine, WrongAnswer
from spoolscan.scanner.engines.proof import prove
from spoolscan.scanner.toolbox import Toolbox
from spoolscan.scanner.unpack import openers, program
from spoolscan.spool import STATES, Spool

OK, WARN, FAIL = "ok", "warn", "fail"
_PATIENCE: Final = 10.0  # seconds for an answer from the network
_ROOM: Final = 20  # messages of the largest size that should fit on the disk
_INODES: Final = 10_000
_TIME_ERROR: Final = 5  # adjtimex(2): the clock is not synchronised
_REMEDIES: Final[dict[type[SpoolscanError], str]] = {
    TemporaryFailure: "start it again",
    WrongAnswer: "mend its signatures",
}
_UNSAFE: Final = {  # kinds of file systems, and what to think of them under a spool
    "tmpfs": "what lies there is gone when the machine stops",
    "ramfs": "what lies there is gone when the machine stops",
    "nfs": "locks and syncs are the server's to keep",
    "nfs4": "locks and syncs are the server's to keep",
    "cifs": "it does not keep what a sync promises",
    "vfat": "it has no modes and no hard promises",
    "fuse.sshfs": "it does not keep what a sync promises",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One thing looked at; ``remedy`` is empty where nothing is to be done."""

    id: str
    state: str
    found: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Place:
    """The spool that is looked at; ``settings`` None where they cannot be read."""

    root: Path
    settings: config.Config | None


def examine(root: Path) -> Iterator[Row]:
    """Every row of every check, as they come."""
    try:
        settings = config.load(root)
        yield Row("settings", OK, str(root / config.FILE))
    except SpoolscanError as error:
        settings = None
        yield from (Row("settings", FAIL, line, "see above") for line in str(error).split("\n"))
    place = Place(root, settings)
    for name, check, needs_settings in CHECKS:
        if needs_settings and settings is None:
            yield Row(name, WARN, "not looked at", "mend the settings first")
            continue
        try:
            yield from check(place)
        except SpoolscanError as error:
            yield Row(name, FAIL, str(error), "do as it says")
        except Exception as error:  # a check of ours must not hide the others
            yield Row(name, FAIL, f"{type(error).__name__}: {error}", "please report it")


def _settings(place: Place) -> config.Config:
    assert place.settings is not None  # noqa: S101 - the table says who needs them
    return place.settings


def _python(_: Place) -> Iterator[Row]:
    yield Row("python", OK, f"{platform.python_version()}, spoolscan {__version__}")


def _spool(place: Place) -> Iterator[Row]:
    Spool(place.root).check()
    stage.check_owner(place.root)
    yield Row("spool", OK, f"{len(STATES)} states, owner only, on one file system")
    kind = _file_system(place.root)
    if kind in _UNSAFE:
        yield Row("file system", WARN, f"{kind}: {_UNSAFE[kind]}", "put the spool on ext4 or xfs")
    else:
        yield Row("file system", OK, kind)


def _file_system(path: Path) -> str:
    """The kind of the one that holds it (proc(5), mountinfo), by the device's number."""
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text("utf-8").splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == wanted:
            return after.split()[0]
    return "not known"


def _disk(place: Place) -> Iterator[Row]:
    """Free blocks and inodes, for whoever may not use the reserve."""
    found = os.statvfs(place.root)
    free, largest = found.f_bavail * found.f_frsize, _settings(place).receiver.max_size
    state = FAIL if free < largest else WARN if free < _ROOM * largest else OK
    remedy = "" if state == OK else f"the largest message has {largest >> 20} MiB; make room"
    yield Row("disk space", state, f"{free >> 20} MiB free", remedy)
    if found.f_files:
        few = found.f_favail < _INODES
        remedy = "one message takes one at least; make room" if few else ""
        yield Row("inodes", WARN if few else OK, f"{found.f_favail} free", remedy)


def _engines(place: Place) -> Iterator[Row]:
    settings = _settings(place)
    toolbox = Toolbox(settings)
    try:
        by_name = {engine.name: engine for engine in settings.engine}
        for engine in toolbox.engines:
            asked = by_name[engine.name]
            yield _engine(engine, is_backup=asked.backup, is_proven=asked.canary)
    finally:
        toolbox.close()


def _engine(engine: Engine, *, is_backup: bool, is_proven: bool) -> Row:
    name = f"engine {engine.name}"
    try:
        version = engine.awake()
        if not is_proven:
            return Row(name, WARN, f"{version}; not proven", "canary = true, if it knows EICAR")
        prove(engine)
    except SpoolscanError as error:
        remedy = _REMEDIES.get(type(error), "mend its settings")
        wait = "it stands in for nobody" if is_backup else "mail waits for it"
        return Row(name, WARN if is_backup else FAIL, str(error), f"{remedy}; till then {wait}")
    return Row(name, OK, f"{version}; finds EICAR")


def _lists(place: Place) -> Iterator[Row]:
    toolbox = Toolbox(_settings(place))
    try:
        tools = toolbox.tools()
        words = f"{len(tools.bad.rules)} names banned, {len(tools.doc.rules)} always scanned"
        yield Row("patterns", OK, f"{words}, {len(tools.ignored.entries)} signatures ignored")
    finally:
        toolbox.close()
    templates = Templates(_settings(place).template_folders())
    templates.check()
    yield Row("templates", OK, "all can be read")


def _formats(_: Place) -> Iterator[Row]:
    """What is opened by borrowed tools, and which of these would have to be installed."""
    known = openers.capabilities()
    lost = [kind for kind, how in known if how is None]
    yield Row("formats", OK, f"ours, and {len(known) - len(lost)} kinds by borrowed tools")
    kinds = {form.kind: form for form in openers.FORMATS.values()}
    by_tool: dict[str, list[str]] = {}
    never: list[str] = []
    for kind in lost:
        tools = [opener.missing() for opener in kinds[kind].openers] if kind in kinds else []
        if not tools and kind in kinds:
            never.append(kind)
        for tool in tools or ([] if kind in kinds else ["python zstandard"]):
            by_tool.setdefault(tool or "another tool", []).append(kind)
    for tool, names in by_tool.items():
        yield Row("formats", WARN, f"held as unreadable: {', '.join(names)}", f"install {tool}")
    if never:
        yield Row("formats", OK, f"opened by nothing, always held: {', '.join(never)}")


def _box(_: Place) -> Iterator[Row]:
    if program.box_works():
        yield Row("helper box", OK, "bubblewrap can make one")
    else:
        yield Row(
            "helper box",
            WARN,
            "helper programs are not run",
            "install bubblewrap; let this user make user namespaces (sysctl user."
            "max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns)",
        )


def _clock(_: Place) -> Iterator[Row]:
    now, built = time.time(), Path(our_file).stat().st_mtime
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if now < built:
        yield Row("clock", FAIL, f"{shown}, before this program was installed", "set the clock")
    elif _is_adrift():
        yield Row("clock", WARN, f"{shown}, not synchronised", "run chrony or systemd-timesyncd")
    else:
        yield Row("clock", OK, f"{shown}, synchronised")


def _is_adrift() -> bool:
    """Whether the kernel knows of nobody who keeps its clock right."""
    question = ctypes.create_string_buffer(512)  # struct timex, all zero: only ask
    return bool(ctypes.CDLL(None).adjtimex(question) == _TIME_ERROR)


def _resolver(_: Place) -> Iterator[Row]:
    began = time.monotonic()
    try:
        with suppress(dns.resolver.NXDOMAIN):  # that is an answer, too
            dns.resolver.resolve(".", "NS", lifetime=_PATIENCE, raise_on_no_answer=False)
        yield Row("resolver", OK, f"answers, after {(time.monotonic() - began) * 1000:.0f} ms")
    except dns.exception.DNSException as error:
        yield Row(
            "resolver",
            WARN,
            f"no answer: {safe(error)}",
            "look at /etc/resolv.conf; names of peers and of the next hop are looked up there",
        )


def _receiver(place: Place) -> Iterator[Row]:
    for address in map(host_port, _settings(place).receiver.listen):
        try:
            greeting = _greeting(address)
        except OSError as error:
            words = f"nobody answers at {address[0]}:{address[1]}: {error}"
            yield Row("receiver", WARN, words, "start it: spoolscan run")
        else:
            yield _greeted("receiver", f"{address[0]}:{address[1]}", greeting)


def _next_hop(place: Place) -> Iterator[Row]:
    url = _settings(place).next_hop
    parts = urlsplit(url)
    if parts.scheme == "maildir":
        folder = Path(unquote(parts.path))
        there = next(path for path in (folder, *folder.parents) if path.exists())
        good = os.access(there, os.W_OK | os.X_OK)
        remedy = "" if good else f"make {there} writable for the spool's owner"
        yield Row("next hop", OK if good else FAIL, url, remedy)
        return
    try:
        yield _greeted("next hop", url, _greeting(_address(parts)))
    except OSError as error:
        yield Row("next hop", FAIL, f"{url}: {error}", "start it, or mend next_hop; mail waits")


def _address(parts: SplitResult) -> tuple[str, int] | str:
    if not parts.hostname:
        return unquote(parts.path)
    return parts.hostname, parts.port or (24 if parts.scheme == "lmtp" else 25)


def _greeting(address: tuple[str, int] | str) -> str:
    """The first line that a mail server says.  Raises OSError."""
    with _connected(address) as connection, connection.makefile("rb") as lines:
        line = lines.readline(512)
        connection.sendall(b"QUIT\r\n")
        return line.decode("ascii", "replace").strip()


def _connected(address: tuple[str, int] | str) -> socket.socket:
    if isinstance(address, tuple):
        return socket.create_connection(address, _PATIENCE)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(_PATIENCE)
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


def _greeted(name: str, where: str, greeting: str) -> Row:
    if greeting.startswith("220"):
        return Row(name, OK, f"{where} says {safe(greeting)}")
    return Row(name, FAIL, f"{where} says {safe(greeting)!r}, not 220", "is that a mail server?")


# Name, check, and whether it needs the settings; in the order in which they are told.
def _room(place: Place) -> Iterator[Row]:
    """What workers lock themselves up by."""
    plan = worker.plan_of(_settings(place))
    if plan is None:
        yield Row("locked room", WARN, 'scanner.room = "off"', "leave it to its default")
        return
    for measure in room.in_force(plan):
        found = measure.detail or "in force"
        yield Row(measure.name, OK if measure.in_force else WARN, found, measure.remedy)


CHECKS: Final[tuple[tuple[str, Callable[[Place], Iterator[Row]], bool], ...]] = (
    ("python", _python, False),
    ("spool", _spool, False),
    ("disk", _disk, True),
    ("lists", _lists, True),
    ("engines", _engines, True),
    ("formats", _formats, False),
    ("helper box", _box, False),
    ("locked room", _room, True),
    ("clock", _clock, False),
    ("resolver", _resolver, False),
    ("receiver", _receiver, True),
    ("next hop", _next_hop, True),
)
