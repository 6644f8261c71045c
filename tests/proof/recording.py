"""What a run does to the disk, written down call by call; and what a power cut may leave of it.

The model, which is harder than ext4, XFS and Btrfs are:

* What was written to a file since its last fsync is there, or not, or in part: each such write on
  its own, a longer one torn at a sector, and where the file has grown its new bytes may be zeros.
* What was done to names since the last fsync of a directory they are in is there or not: for each
  file on its own and in any combination with other files, but for one file in the order in which it
  was done (its names lie in one inode's journal).  A rename is there as a whole or not at all.
* fsync of a file says nothing about its name.  fsync of a directory says nothing about the name of
  that directory: if its `mkdir` was not synced, all that is in it may be gone.
* fsync tells the truth.  A disk that lies about it breaks every promise.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from spoolscan import disk

SECTOR = 512
_WRITES_IN_ANY_SUBSET = 4  # of one file; with more of them, those that were done last
Tree = dict[str, bytes | None]  # by path; None is a directory


@dataclass(frozen=True)
class Op:
    """One call.  ``file`` is a number of our own: an inode's may be used again."""

    kind: str  # write, sync, link (a new name), move, unlink, mkdir, rmdir, sync_dir, note
    file: int = 0
    path: str = ""
    target: str = ""
    data: bytes = b""
    offset: int = 0

    def touches(self, folder: str) -> bool:
        return folder in [os.path.dirname(path) for path in (self.path, self.target) if path]


class Recording:
    """Within `on`, every call of `spoolscan.disk` is entered in ``ops``, paths relative to root."""

    def __init__(self, root: Path) -> None:
        self.ops: list[Op] = []
        self._root = str(root)
        self._names: dict[str, int] = {}
        self._open: dict[int, int] = {}  # descriptor: file
        self._ends: dict[int, int] = {}  # descriptor: where the next write goes
        self._folders: dict[int, str] = {}  # descriptor: path
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()

    def note(self, what: str) -> None:
        """Something that the world may rely on from here on."""
        with self._lock:
            self.ops.append(Op("note", path=what))

    @contextmanager
    def on(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name in (
                *("open_new", "open_found", "write", "write_at", "fsync", "fdatasync"),
                *("fsync_directory", "rename_new", "rename_over", "unlink", "close"),
                *("make_directory", "remove_directory", "open_directory"),
            ):
                patch.setattr(disk, name, partial(self._call, name, getattr(disk, name)))
            yield

    def _call(self, name: str, real: Callable[..., Any], *arguments: Any) -> Any:
        with self._lock:
            there = os.path.isdir(arguments[0]) if name.endswith("_directory") else False
            result = real(*arguments)
            getattr(self, f"_{name}")(result, there, *arguments)
            return result

    def _path(self, path: str) -> str:
        return os.path.relpath(path, self._root).removeprefix(".")

    def _open_new(self, descriptor: int, _: bool, path: str) -> None:
        number = next(self._numbers)
        self._names[self._path(path)] = self._open[descriptor] = number
        self._ends[descriptor] = 0
        self.ops.append(Op("link", number, target=self._path(path)))

    def _open_found(self, descriptor: int, _: bool, path: str) -> None:
        if self._path(path) in self._names:
            self._open[descriptor] = self._names[self._path(path)]

    def _open_directory(self, descriptor: int, _: bool, path: str) -> None:
        self._folders[descriptor] = self._path(path)

    def _close(self, _: None, __: bool, descriptor: int) -> None:
        self._open.pop(descriptor, None)
        self._folders.pop(descriptor, None)

    def _write(self, _: None, __: bool, descriptor: int, data: bytes) -> None:
        offset = self._ends[descriptor]
        self._ends[descriptor] += len(data)
        self._write_at(None, False, descriptor, data, offset)

    def _write_at(self, _: None, __: bool, descriptor: int, data: bytes, offset: int) -> None:
        self.ops.append(Op("write", self._open[descriptor], data=bytes(data), offset=offset))

    def _fsync(self, _: None, __: bool, descriptor: int) -> None:
        if descriptor in self._folders:
            self.ops.append(Op("sync_dir", path=self._folders[descriptor]))
        else:
            self.ops.append(Op("sync", self._open[descriptor]))

    _fdatasync = _fsync

    def _fsync_directory(self, _: None, __: bool, path: str) -> None:
        self.ops.append(Op("sync_dir", path=self._path(path)))

    def _rename_new(self, _: None, __: bool, source: str, target: str) -> None:
        number = self._names.pop(self._path(source))
        self._names[self._path(target)] = number
        self.ops.append(Op("move", number, self._path(source), self._path(target)))

    _rename_over = _rename_new

    def _unlink(self, _: None, __: bool, path: str) -> None:
        number = self._names.pop(self._path(path))
        self.ops.append(Op("unlink", number, self._path(path)))

    def _make_directory(self, _: None, there: bool, path: str) -> None:
        if not there:
            number = self._names[self._path(path)] = next(self._numbers)
            self.ops.append(Op("mkdir", number, target=self._path(path)))

    def _remove_directory(self, _: None, there: bool, path: str) -> None:
        if there and not os.path.isdir(path):
            self.ops.append(Op("rmdir", self._names.pop(self._path(path)), self._path(path)))


@dataclass
class _File:
    """What is known of one file at the moment of the cut."""

    chain: list[Op] = field(default_factory=list)  # what was done to its names
    forced: int = 0  # so many of those are on the disk
    safe: bytes = b""  # its content that is
    pending: list[Op] = field(default_factory=list)

    def contents(self) -> list[bytes]:
        """All that may be in it."""
        found = [self.safe]
        anyhow, rest = (
            self.pending[:-_WRITES_IN_ANY_SUBSET],
            self.pending[-_WRITES_IN_ANY_SUBSET:],
        )
        end = max((op.offset + len(op.data) for op in self.pending), default=0)
        for chosen in itertools.product((True, False), repeat=len(rest)):
            there = [*anyhow, *itertools.compress(rest, chosen)]
            written = _written(self.safe, there)
            found += [written, written.ljust(end, b"\0")]
        if self.pending and len(last := self.pending[-1].data) > SECTOR:
            op = self.pending[-1]
            torn = Op("write", op.file, data=last[: len(last) // 2 // SECTOR * SECTOR or SECTOR])
            torn = Op("write", op.file, data=torn.data, offset=op.offset)
            written = _written(self.safe, [*self.pending[:-1], torn])
            found += [written, written.ljust(end, b"\0")]
        return list(dict.fromkeys(found))


def _written(content: bytes, ops: Sequence[Op]) -> bytes:
    data = bytearray(content)
    for op in ops:
        data.extend(b"\0" * (op.offset - len(data)))
        data[op.offset : op.offset + len(op.data)] = op.data
    return bytes(data)


def states(ops: Sequence[Op], most: int, chance: Random) -> Iterator[Tree]:
    """Every tree that a cut after these calls may leave; so many of them, by chance, where there
    are more."""
    files = _files(ops)
    numbers, choices = zip(*_choices(files).items(), strict=True) if files else ((), ())
    if math.prod(map(len, choices)) <= most:
        picks: Iterator[Sequence[tuple[int, bytes]]] = itertools.product(*choices)
    else:
        sampled = ([chance.choice(one) for one in choices] for _ in range(most - 2))
        extremes = [[one[0] for one in choices], [one[-1] for one in choices]]
        picks = itertools.chain(extremes, sampled)
    for pick in picks:
        yield _tree(ops, files, dict(zip(numbers, pick, strict=True)))


def count(ops: Sequence[Op]) -> int:
    """How many `states` there are, before equal ones are taken for one."""
    return math.prod(map(len, _choices(_files(ops)).values()))


def _choices(files: Mapping[int, _File]) -> dict[int, list[tuple[int, bytes]]]:
    """Of each file: how much of its chain is there, and with what content."""
    return {
        number: [
            (length, content)
            for contents in [one.contents()]
            for length in range(one.forced, len(one.chain) + 1)
            for content in (contents if _is_seen(one.chain[:length]) else contents[:2])
        ]
        for number, one in files.items()
    }


def _is_seen(chain: Sequence[Op]) -> bool:
    """Whether anybody reads what is in it: it has a name, and not that of a draft."""
    last = chain[-1] if chain else None
    return last is not None and bool(last.target) and "tmp" not in Path(last.target).parts


def _files(ops: Sequence[Op]) -> dict[int, _File]:
    files: dict[int, _File] = {}
    for op in ops:
        one = files.setdefault(op.file, _File())
        match op.kind:
            case "write":
                one.pending.append(op)
            case "sync":
                one.safe, one.pending = _written(one.safe, one.pending), []
            case "sync_dir":
                for other in files.values():
                    for done, link in enumerate(other.chain, 1):
                        if link.touches(op.path):
                            other.forced = max(other.forced, done)
            case "link" | "move" | "unlink" | "mkdir" | "rmdir":
                one.chain.append(op)
    files.pop(0, None)
    return files


def _tree(
    ops: Sequence[Op], files: Mapping[int, _File], pick: Mapping[int, tuple[int, bytes]]
) -> Tree:
    """The names in the order in which they were made, as far as they were."""
    done = dict.fromkeys(files, 0)
    names: dict[str, int] = {}
    folders: set[str] = set()
    for op in ops:
        if op.kind not in ("link", "move", "unlink", "mkdir", "rmdir"):
            continue
        if done[op.file] == pick[op.file][0]:
            continue
        done[op.file] += 1
        if names.get(op.path) == op.file:
            del names[op.path]
        folders.discard(op.path)
        if op.kind == "mkdir":
            folders.add(op.target)
        elif op.target:
            names[op.target] = op.file
    made = {op.target for op in ops if op.kind == "mkdir"}
    tree: Tree = dict.fromkeys(sorted(folders))
    for path, number in names.items():
        above = {str(one) for one in Path(path).parents} & made
        if above <= folders:
            tree[path] = pick[number][1]
    return {path: content for path, content in tree.items() if _stands(path, made, folders)}


def _stands(path: str, made: set[str], folders: set[str]) -> bool:
    return {str(one) for one in Path(path).parents} & made <= folders


def lay_out(root: Path, tree: Tree) -> None:
    """Make it so, in a root that has its first directories."""
    for path, content in tree.items():
        place = root / path
        if content is None:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        else:
            place.write_bytes(content)
            place.chmod(0o600)
