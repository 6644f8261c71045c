"""Several engines asked about one message: primaries, and backups for those that fail.

=======================================  =========================================================
a primary                                then
=======================================  =========================================================
finds something                          that counts, whoever else fails
cannot answer                            all backups are asked; where one of them answers, it
                                         stands in, which is noted in the report
cannot answer, nor can any backup        TemporaryFailure: the mail waits
=======================================  =========================================================

An engine that is ``out`` (see `canary`) is not asked and counts as one that cannot answer.  All
share one deadline.  What the site ignores becomes a remark (see `spoolscan.scanner.ignored`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from spoolscan.errors import TemporaryFailure
from spoolscan.scanner.engines.contract import Engine, Sample
from spoolscan.scanner.ignored import Ignored
from spoolscan.verdict import Finding, Verdict


@dataclass(frozen=True, slots=True)
class Panel:
    """Who is asked, and what is made of it; ``seconds`` is for all of them together."""

    engines: Sequence[Engine]
    backups: Sequence[Engine] = ()
    out: frozenset[str] = frozenset()
    seconds: float = math.inf
    ignored: Ignored = Ignored()

    def ask(self, samples: Sequence[Sample], *, found: bool = False) -> list[Finding]:
        """Every engine's findings.  Raises TemporaryFailure, see above.

        Where something has been ``found`` before, no engine that fails is waited for.
        """
        if not samples:
            return []
        deadline = time.monotonic() + self.seconds
        findings, failures = self._each(self.engines, samples, deadline)
        if failures and not found and not _is_hit(findings):
            answers, silent = self._each(self.backups, samples, deadline)
            if len(silent) == len(self.backups):
                raise failures[0]
            findings += [*answers, *map(_stood_in, failures)]
        return findings

    def _each(
        self, engines: Sequence[Engine], samples: Sequence[Sample], deadline: float
    ) -> tuple[list[Finding], list[TemporaryFailure]]:
        found: list[Finding] = []
        failures: list[TemporaryFailure] = []
        for engine in engines:
            try:
                if engine.name in self.out:
                    raise TemporaryFailure(
                        f"engine {engine.name}: taken out, for it does not find EICAR"
                    )
                found += map(self.ignored.judge, engine.scan(samples, deadline))
            except TemporaryFailure as failure:
                failures.append(failure)
        return found, failures


def _is_hit(findings: Sequence[Finding]) -> bool:
    return any(finding.verdict >= Verdict.BANNED for finding in findings)


def _stood_in(failure: TemporaryFailure) -> Finding:
    """For the record: who was not heard."""
    return Finding(Verdict.CLEAN, (), f"a backup stood in: {failure}", "reader")
