"""The embedded engine: YARA rules, compiled and matched in this process by yara-x.

Every ``*.yar`` of one directory is compiled, in the order of names, each in a namespace called as
the file; rules cannot include files.  A rule says what it means by its ``meta``:

    =============  ==========================================================================
    name           what the finding is called (default: the rule's identifier)
    verdict        "infected" (default) or "banned"
    description    for the reader of the rule
    =============  ==========================================================================

The directory is looked at before each scan (one `stat` a file); when a file has changed, come or
gone, the set is compiled anew and takes the old one's place only as a whole.  A bad edit keeps the
old set and is told once.  Every ``*.sha256`` there is a list of hashes (see `hashes`): a sample
with one of them is infected.

It never writes, never connects, and needs no other program.  Matching holds the interpreter's lock
and is no safer than yara-x itself, so it belongs into a worker process; and that must be forked
before the first scan in its parent, for the clock of yara-x is a thread, which no fork inherits.
A scan that takes longer than ``timeout`` is a TemporaryFailure; a set that cannot be compiled when
the engine is made is a ConfigError with file, line and reason.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yara_x

from spoolscan.config import YaraSettings
from spoolscan.errors import ConfigError, TemporaryFailure
from spoolscan.scanner.engines import hashes
from spoolscan.scanner.engines.contract import Sample, Tell
from spoolscan.verdict import Cause, Doubt, Finding, Verdict

_KINDS = (".yar", ".sha256")
_VERDICTS = {"infected": Verdict.INFECTED, "banned": Verdict.BANNED}


@dataclass(frozen=True, slots=True)
class _File:
    """One rule file as last seen: when this differs, it is read again."""

    name: str
    modified: int
    size: int
    inode: int


@dataclass(frozen=True, slots=True)
class _RuleSet:
    rules: yara_x.Rules
    meanings: dict[tuple[str, str], tuple[Verdict, str]]  # (namespace, rule) -> verdict, name
    hashes: dict[bytes, str]  # SHA-256 -> name


class Yara:
    """See the module.  Raises ConfigError where the rules cannot be used."""

    def __init__(self, settings: YaraSettings, tell: Tell) -> None:
        if not 0 < settings.timeout < math.inf:
            raise ConfigError(
                f"engine {settings.name}: timeout = {settings.timeout}: give seconds above 0"
            )
        self.name = settings.name
        self._directory = settings.rules
        self._timeout = math.ceil(settings.timeout)
        self._tell = tell
        self._seen = _files(self._directory)
        self._set = _compile(self._directory, self._seen)

    def scan(self, samples: Sequence[Sample], deadline: float = math.inf) -> list[Finding]:
        self.reload()
        scanner = yara_x.Scanner(self._set.rules)
        scanner.set_timeout(self._timeout)
        return [finding for sample in samples for finding in self._scan(scanner, sample, deadline)]

    def _scan(self, scanner: yara_x.Scanner, sample: Sample, deadline: float) -> list[Finding]:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TemporaryFailure(f"engine {self.name}: no time is left for it")
        if left < self._timeout:
            scanner.set_timeout(math.ceil(left))
        try:
            results = scanner.scan(sample.data)
        except yara_x.TimeoutError:
            if left < self._timeout:
                raise TemporaryFailure(f"engine {self.name}: no time was left for it") from None
            # The next attempt would take as long: this is no trouble that passes.
            reason = f"its rules took longer than {self._timeout} s"
            return [Finding.of_doubt(Doubt(Cause.LIMIT, reason), sample.path, by=self.name)]
        except yara_x.ScanError as error:
            raise TemporaryFailure(f"engine {self.name}: {error}") from None
        findings = []
        for rule in results.matching_rules:
            verdict, name = self._set.meanings[rule.namespace, rule.identifier]
            findings.append(Finding(verdict, sample.path, name, self.name))
        if self._set.hashes:
            known = self._set.hashes.get(hashlib.sha256(sample.data).digest())
            if known is not None:
                findings.append(Finding(Verdict.INFECTED, sample.path, known, self.name))
        return findings

    def reload(self) -> bool:
        """Take up changed rule files.  True where a new set is in force; never raises.

        A set that cannot be used leaves the old one in force and is told once, until it changes.
        """
        now: tuple[_File, ...] = ()
        try:
            now = _files(self._directory)
            if now == self._seen:
                return False
            self._set = _compile(self._directory, now)
        except ConfigError as error:
            if now == self._seen:
                return False
            self._tell(f"engine {self.name}: the old rules stay in force: {error}")
            self._seen = now
            return False
        self._seen = now
        return True

    def awake(self) -> str:
        version = importlib.metadata.version("yara-x")
        listed = f", {len(self._set.hashes)} hashes" if self._set.hashes else ""
        rules = f"{len(self._set.meanings)} rules{listed}"
        return f"yara-x {version}, {rules} from {self._directory}"

    def close(self) -> None:
        """Nothing is held but memory."""


def _files(directory: Path) -> tuple[_File, ...]:
    """The rule files of a directory, by name.  Raises ConfigError."""
    try:
        with os.scandir(directory) as entries:
            names = sorted(entry.name for entry in entries if entry.name.endswith(_KINDS))
        found = []
        for name in names:
            status = os.stat(f"{directory}/{name}")
            found.append(_File(name, status.st_mtime_ns, status.st_size, status.st_ino))
    except OSError as error:
        raise ConfigError(
            f"{error.filename}: {error.strerror}; the rules must be readable"
        ) from None
    return tuple(found)


def _compile(directory: Path, files: Sequence[_File]) -> _RuleSet:
    """Raises ConfigError naming file, line and what is wrong."""
    compiler = yara_x.Compiler(includes_enabled=False)
    listed: dict[bytes, str] = {}
    for file in files:
        path = directory / file.name
        try:
            if file.name.endswith(".sha256"):
                listed.update(hashes.parse(path.read_bytes(), str(path)))
                continue
            text = path.read_text("utf-8")
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: byte {error.start} is not UTF-8") from None
        compiler.new_namespace(path.name)
        try:
            compiler.add_source(text, origin=str(path))
        except yara_x.CompileError:
            raise ConfigError(_explain(path, compiler.errors()[0])) from None
    rules = compiler.build()
    meanings = {(rule.namespace, rule.identifier): _meaning(directory, rule) for rule in rules}
    if not meanings:
        raise ConfigError(f"{directory}: no rule in any *.yar file there: nothing would be found")
    return _RuleSet(rules, meanings, listed)


def _explain(path: Path, error: dict[str, object]) -> str:
    labels = error.get("labels")
    detail = labels[0].get("text", "") if isinstance(labels, list) and labels else ""
    reason = f"{error['title']}: {detail}" if detail else str(error["title"])
    return f"{path}:{error['line']}:{error['column']}: {reason}"


def _meaning(directory: Path, rule: yara_x.Rule) -> tuple[Verdict, str]:
    meta = dict(rule.metadata)
    verdict, name = meta.get("verdict", "infected"), meta.get("name", rule.identifier)
    where = f"{directory / rule.namespace}: rule {rule.identifier}"
    if verdict not in _VERDICTS:
        raise ConfigError(f'{where}: verdict = {verdict!r}: allowed are "infected" and "banned"')
    if not isinstance(name, str) or not name.isprintable() or not name:
        raise ConfigError(f"{where}: name = {name!r}: give a printable string")
    return _VERDICTS[verdict], name
