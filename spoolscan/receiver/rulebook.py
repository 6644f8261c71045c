"""The files that say who may send to whom, read again when they were edited.

A bad edit is logged, and what was in force stays.  Where there is no file of rules, those that
spoolscan comes with are in force; without ``etc/access`` nothing is said in it.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from spoolscan import log, share
from spoolscan.errors import ConfigError
from spoolscan.livefile import LiveFile
from spoolscan.receiver.access import Access
from spoolscan.receiver.rules import Rules

_LARGEST: Final = 16 << 20  # bytes; lists of senders grow


class Rulebook:
    """Both files.  Raises ConfigError where one is there and cannot be used."""

    def __init__(self, rules: Path, access: Path, *, names: bool) -> None:
        """``names`` says that the names of peers are looked up, so that rules may go by them."""
        self._names = names
        usual = (share.folder("etc") / "smtpd_check_rules").read_bytes()
        self._rules = LiveFile(str(rules), self._parse, _problem, _LARGEST, absent=usual)
        self._access = LiveFile(str(access), Access.parse, _problem, _LARGEST, absent=b"")

    @property
    def rules(self) -> Rules:
        """As they are now."""
        return self._rules.current()

    @property
    def access(self) -> Access:
        """As it is now."""
        return self._access.current()

    def _parse(self, text: bytes, source: str) -> Rules:
        rules = Rules.parse(text, source)
        if rules.by_name and not self._names:
            raise ConfigError(
                f"{source}, line {rules.by_name[0]}: goes by the names of peers, which are not"
                " looked up; set [receiver] reverse_lookup = true, or remove the rule"
            )
        return rules


def _problem(problem: ConfigError) -> None:
    for line in str(problem).split("\n"):
        log.event("receiver", "-", logging.ERROR, event="rules-kept", reason=line)
