"""The floors of the house, each importing only downward, and who may touch what on the disk.

words < thought (no I/O) < hands < inspect < stages < cli.  A module that is named nowhere below is
thought: give one that does more its place in FLOORS.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

import spoolscan

ROOT = Path(spoolscan.__file__).parent
STAGES = ("receiver", "scanner", "forwarder", "jobs")

FLOORS = {
    "words": [
        *["", "domain", "durations", "envelope", "errors", "log", "queueid", "share", "units"],
        "verdict",
    ],
    "hands": [
        *[
            "aio",
            "disk",
            "fork",
            "syncer",
            "spool",
            "config",
            "config.*",
            "journal",
            "queue",
            "livefile",
            "quarantine",
            "notices",
            "templates",
            "watch",
            "ready",
            "settled",
            "users",
        ],
        *["nexthop.read", "nexthop.resolve", "nexthop.tls"],
        *["receiver.answers", "receiver.dnsbl", "receiver.lookups", "receiver.rulebook"],
        *["scanner.passwordfile", "scanner.patternfile", "scanner.unpack", "scanner.unpack.*"],
        *["scanner.engines", "scanner.engines.*", "signatures", "signatures.*"],
        *["scanner.room", "scanner.room.*", "scanner.scratch"],
    ],
    "inspect": ["scanner.inspect", "scanner.toolbox"],
    "stages": [
        *["stage", "supervisor", "jobs", "jobs.*", "status", "status.*"],
        *(f"receiver.{name}" for name in ("connection", "intake", "reverse", "server", "stage")),
        *["receiver.judge", "receiver.watermark", "receiver.callout", "receiver.mailboxes"],
        *["receiver.inquiry", "receiver.probe"],
        *["receiver.descriptors"],
        *(
            f"scanner.{name}"
            for name in ("canary", "daemon", "disposition", "pool", "stage", "teller", "trouble")
        ),
        *(f"receiver.{name}" for name in ("gatekeeper", "house", "link", "listeners", "stream")),
        *["receiver.stdio", "receiver.tls", "receiver.visitor"],
        *(f"scanner.{name}" for name in ("answer", "broker", "hand", "inside", "wire", "worker")),
        *["scanner.nursery", "scanner.process"],
        *(f"forwarder.{name}" for name in ("attempt", "connection", "daemon", "dsn", "maildir")),
        *(f"forwarder.{name}" for name in ("hop", "routes", "smtp", "stage")),
        *(f"forwarder.{name}" for name in ("destinations", "mx", "pipe", "several")),
        "forwarder.program",
        "forwarder.arrivals",
        "forwarder.removals",
    ],
    "cli": ["cli", "cli.*", "doctor", "__main__"],
    "thought": [
        *["receiver", "receiver.*", "scanner", "scanner.*", "forwarder", "forwarder.*"],
        *["nexthop", "nexthop.*"],
    ],
}
ORDER = ["words", "thought", "hands", "inspect", "stages", "cli"]

NOT_THOUGHT = {
    *["asyncio", "concurrent", "ctypes", "fcntl", "multiprocessing", "os", "pathlib", "select"],
    *["selectors", "shutil", "signal", "socket", "ssl", "subprocess", "tempfile", "threading"],
}

# Calls that take a name from a file, or give it another one; and who may make them.
RENAMES = {"rename", "renames", "link", "symlink", "hardlink_to", "symlink_to"}
REMOVES = {"unlink", "remove", "rmdir", "removedirs", "rmtree"}
MAY = {
    "disk": {"os.unlink", "os.replace", "os.rmdir"},
    "spool": {"disk.rename_new", "disk.rename_over", "disk.unlink"},
    "forwarder.maildir": {"disk.rename_new", "disk.unlink"},  # its own tmp/ and new/
    "receiver.listeners": {"os.unlink"},  # a socket that nobody listens on any more
    "journal": {"os.replace", ".unlink"},  # its own database, when that is damaged
    "cli.trial": {"shutil.rmtree"},  # the temporary directory it made
    "scanner.engines.command": {"shutil.rmtree"},  # the temporary directories of killed scans
}


def _name(path: Path) -> str:
    """ "scanner.mime"; "" is the package itself."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): path for path in sorted(ROOT.rglob("*.py"))}


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def _imported(module: str) -> Iterator[str]:
    """Full names, also of what is imported inside functions."""
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            for alias in node.names:
                deep = f"{node.module}.{alias.name}"
                yield deep if deep.removeprefix("spoolscan.") in MODULES else str(node.module)


@cache
def _ours(module: str) -> frozenset[str]:
    """Which of our modules it imports."""
    return frozenset(
        name.removeprefix("spoolscan").removeprefix(".")
        for name in _imported(module)
        if name.split(".")[0] == "spoolscan"
    )


def _floor(module: str) -> str:
    for floor, patterns in FLOORS.items():
        if any(fnmatch(module, pattern) for pattern in patterns):
            return floor
    pytest.fail(f"{module} stands on no floor: give it one in FLOORS")


def _touches(module: str) -> set[str]:
    """The calls in it that rename or remove, as ``os.unlink`` or ``.unlink``."""
    found = set()
    for node in ast.walk(_tree(module)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name = node.func.attr
        owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
        of_a_path = len(node.args) == 1 and not node.keywords  # str.replace takes two
        if owner in ("os", "shutil", "disk"):
            if name in {*RENAMES, *REMOVES, "replace", "move", "rename_new", "rename_over"}:
                found.add(f"{owner}.{name}")
        elif name in {*RENAMES, "unlink", "rmdir"} or (name == "replace" and of_a_path):
            found.add(f".{name}")
    return found


def test_every_module_of_the_table_exists() -> None:
    for patterns in FLOORS.values():
        for pattern in patterns:
            assert any(fnmatch(module, pattern) for module in MODULES), pattern


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_its_own_floor_and_below(module: str) -> None:
    own = ORDER.index(_floor(module))
    above = {name for name in _ours(module) if ORDER.index(_floor(name)) > own}
    assert not above, f"{module} ({ORDER[own]}) imports from above"


@pytest.mark.parametrize("module", [name for name in MODULES if _floor(name) == "thought"])
def test_thought_does_no_input_or_output(module: str) -> None:
    assert not {name.split(".")[0] for name in _imported(module)} & NOT_THOUGHT
    called = {node.func for node in ast.walk(_tree(module)) if isinstance(node, ast.Call)}
    assert not {func.id for func in called if isinstance(func, ast.Name)} & {"open", "print"}


@pytest.mark.parametrize("stage", STAGES)
def test_stages_never_import_each_other(stage: str) -> None:
    others = set(STAGES) - {stage}
    for module in MODULES:
        if module.split(".")[0] == stage:
            assert not {name.split(".")[0] for name in _ours(module)} & others, module


@pytest.mark.parametrize("module", MODULES)
def test_only_the_spool_renames_and_removes(module: str) -> None:
    assert _touches(module) <= MAY.get(module, set())


def test_whoever_may_touch_the_disk_does() -> None:
    for module, calls in MAY.items():
        assert _touches(module) == calls, f"{module}: the table allows more than is needed"


def test_only_the_spool_and_the_maildir_know_the_disk() -> None:
    """And what syncs for an event loop, which is given descriptors and opens directories."""
    knowing = {"spool", "forwarder.maildir", "syncer", "aio"}
    assert {name for name in MODULES if "disk" in _ours(name)} == knowing


def test_the_spool_and_the_maildir_reach_the_disk_by_the_disk_module_alone() -> None:
    """What a proof replaces or records there is all that happens to a message's file."""
    for module in ("spool", "forwarder.maildir"):
        used = {
            f"{node.value.id}.{node.attr}"
            for node in ast.walk(_tree(module))
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in {"os", "io", "shutil", "fcntl", "tempfile"}
        }
        assert used <= {"os.path", "os.geteuid", "os.getpid"}, module
        called = {node.func for node in ast.walk(_tree(module)) if isinstance(node, ast.Call)}
        assert not {func.id for func in called if isinstance(func, ast.Name)} & {"open", "Path"}


def test_inspection_knows_neither_spool_nor_settings() -> None:
    assert not _ours("scanner.inspect") & {"spool", "config", "notices"}
    reached, todo = set(), {"scanner.inspect"}
    while todo:
        module = todo.pop()
        reached.add(module)
        todo |= _ours(module) - reached
    assert not reached & {"spool", "disk", "notices"}


def test_the_email_package_writes_our_mail_and_reads_nobody_elses() -> None:
    users = {
        name: {it for it in _imported(name) if it.startswith("email") and it != "email.utils"}
        for name in MODULES
    }
    assert {name for name, used in users.items() if used} <= {
        "notices",
        "forwarder.dsn",
        "jobs.summary.report",
        "cli.samples",
    }
    assert not set().union(*users.values()) & {"email", "email.parser", "email.feedparser"}


def test_a_file_of_more_than_400_lines_says_why_it_is_long() -> None:
    for path in [*ROOT.rglob("*.py"), *Path(__file__).parent.rglob("*.py")]:
        text = path.read_text("utf-8")
        if text.count("\n") > 400:
            words = ast.get_docstring(ast.parse(text)) or ""
            assert re.search(r"\blong(er than|,)", words, re.IGNORECASE), f"{path}: split it"
