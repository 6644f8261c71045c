"""From the settings to the `Tools` a message is judged by, kept up to date as files change.

Pattern files and rules are looked at before each message (a stat each) and read again when they
changed; a bad edit keeps what was in force, and ``tell`` is given the reason once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from spoolscan.config import Config, Scanner
from spoolscan.errors import ConfigError
from spoolscan.scanner import engines
from spoolscan.scanner.engines.yara import Yara
from spoolscan.scanner.inspect import Tools
from spoolscan.scanner.patternfile import PatternFile
from spoolscan.verdict import Cause


def _silent(_: str) -> None:
    """The daemon tells of bad edits; its workers meet the same ones and need not."""


def _remarks(settings: Scanner) -> frozenset[Cause]:
    policies = {Cause.AMBIGUOUS: settings.ambiguous, Cause.SEALED: settings.sealed}
    return frozenset(cause for cause, policy in policies.items() if policy == "note")


class Toolbox:
    """Raises ConfigError where a file or an engine can never be used."""

    def __init__(self, config: Config, tell: Callable[[str], None] = _silent) -> None:
        def problem(error: ConfigError) -> None:
            tell(str(error))

        self._bad = PatternFile(str(config.path("etc/matches.bad")), problem)
        self._doc = PatternFile(str(config.path("etc/matches.doc")), problem)
        self.engines = engines.build(config.engines(), tell)
        self._tools = Tools(
            bad=self._bad.current(),
            doc=self._doc.current(),
            engines=self.engines,
            bounds=config.bounds,
            remarks=_remarks(config.scanner),
            everything=config.scanner.scan == "all",
        )

    def tools(self) -> Tools:
        """The tools for the next message."""
        bad, doc = self._bad.current(), self._doc.current()
        if bad is not self._tools.bad or doc is not self._tools.doc:
            self._tools = dataclasses.replace(self._tools, bad=bad, doc=doc)
        return self._tools

    def close(self) -> None:
        for engine in self.engines:
            engine.close()

    def renew(self) -> bool:
        """Whether the next message is to be judged by something else than the last one."""
        before = self._tools
        reloaded = [engine.reload() for engine in self.engines if isinstance(engine, Yara)]
        return self.tools() is not before or any(reloaded)
