"""From the settings to the `Tools` a message is judged by, kept up to date as files change.

Pattern files, rules and the list of ignored signatures are looked at (a stat each) as often as the
caller likes, and read again when they changed; a bad edit keeps what was in force, and ``tell`` is
given the reason once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime

from spoolscan.config import Config, Scanner
from spoolscan.errors import ConfigError
from spoolscan.livefile import LiveFile
from spoolscan.scanner import engines
from spoolscan.scanner.engines.yara import Yara
from spoolscan.scanner.ignored import Entry, Ignored
from spoolscan.scanner.inspect import Tools
from spoolscan.scanner.passwordfile import PasswordFile
from spoolscan.scanner.patternfile import PatternFile
from spoolscan.verdict import Cause


def _silent(_: str) -> None:
    """The daemon tells of bad edits; its workers meet the same ones and need not."""


def _remarks(settings: Scanner) -> frozenset[Cause]:
    policies = {
        Cause.AMBIGUOUS: settings.ambiguous,
        Cause.UNLOCKED: settings.unlocked,
        Cause.SEALED: settings.sealed,
    }
    return frozenset(cause for cause, policy in policies.items() if policy == "note")


def _over(entry: Entry, path: str) -> str:
    return f"{path}: {entry.pattern} was ignored until {entry.until}, and counts again"


class Toolbox:
    """Raises ConfigError where a file or an engine can never be used."""

    def __init__(self, config: Config, tell: Callable[[str], None] = _silent) -> None:
        self._tell = tell

        def say(text: str) -> None:
            self._tell(text)

        def problem(error: ConfigError) -> None:
            say(str(error))

        self._bad = PatternFile(str(config.path("etc/matches.bad")), problem)
        self._doc = PatternFile(str(config.path("etc/matches.doc")), problem)
        self._ignore = LiveFile(str(config.path("etc/ignore")), Ignored.parse, problem, absent=b"")
        self._told: set[Entry] = set()
        self._passwords = PasswordFile(config.path(config.scanner.passwords))
        self.engines = engines.build(config.engines(), say)
        behind = {settings.name for settings in config.engine if settings.backup}
        self._tools = Tools(
            bad=self._bad.current(),
            doc=self._doc.current(),
            engines=[engine for engine in self.engines if engine.name not in behind],
            backups=[engine for engine in self.engines if engine.name in behind],
            engine_seconds=min(config.scanner.engines_timeout, config.scanner.timeout),
            ignored=self._ignored(),
            bounds=config.bounds,
            macros=config.macros,
            remarks=_remarks(config.scanner),
            passwords=self._passwords.current(),
            everything=config.scanner.scan == "all",
        )

    def tools(self, out: frozenset[str] = frozenset()) -> Tools:
        """The tools for the next message, the same object while nothing has changed.

        The engines that are ``out`` are not asked.
        """
        now = dataclasses.replace(
            self._tools,
            bad=self._bad.current(),
            doc=self._doc.current(),
            ignored=self._ignored(),
            passwords=self._passwords.current(),
            out=out,
        )
        if now != self._tools:
            self._tools = now
        return self._tools

    def _ignored(self) -> Ignored:
        """What is ignored today; what is over is told of once."""
        ignored, today = self._ignore.current(), datetime.now(UTC).date()
        for entry in ignored.entries:
            if entry.is_over(today) and entry not in self._told:
                self._told.add(entry)
                self._tell(_over(entry, self._ignore.path))
        return ignored.on(today)

    def hush(self) -> None:
        """Tell nobody any more."""
        self._tell = _silent

    def close(self) -> None:
        for engine in self.engines:
            engine.close()

    def renew(self, out: frozenset[str]) -> bool:
        """Whether the next message is to be judged by something else than the last one."""
        before = self._tools
        reloaded = [engine.reload() for engine in self.engines if isinstance(engine, Yara)]
        return self.tools(out) is not before or any(reloaded)
