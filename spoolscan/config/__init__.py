"""etc/spoolscan.toml -> a frozen Config.

Every setting has its default here and its explanation in etc/spoolscan.toml; a test holds the two
together.  `load` reports everything that is wrong at once, each line with file, key, value and
what is allowed, as one ConfigError.  Nothing here opens a socket or looks a name up.

Durations and sizes are as in `units`; relative paths start at the spool.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Final

from pydantic import Field, ValidationError

from spoolscan import share
from spoolscan.config import mistakes
from spoolscan.config.dnsbl import Dnsbl, ZoneSettings
from spoolscan.config.engines import (
    ClamdSettings,
    CommandSettings,
    Engine,
    YaraSettings,
)
from spoolscan.config.forwarder import Forwarder, Timeouts
from spoolscan.config.jobs import Jobs
from spoolscan.config.journal import Journal
from spoolscan.config.kinds import Section, host_port
from spoolscan.config.metrics import Log, Metrics
from spoolscan.config.notices import Notices
from spoolscan.config.quarantine import Quarantine
from spoolscan.config.receiver import TLS, Auth, Receiver
from spoolscan.config.recipients import Recipients
from spoolscan.config.rules import RulesSettings
from spoolscan.config.scanner import Scanner
from spoolscan.config.signatures import Signatures, Source
from spoolscan.config.site import Site
from spoolscan.errors import ConfigError
from spoolscan.scanner.bounds import Bounds
from spoolscan.scanner.macros import MacroPolicy

__all__ = [
    "FILE",
    "TLS",
    "Auth",
    "ClamdSettings",
    "CommandSettings",
    "Config",
    "Dnsbl",
    "Engine",
    "Forwarder",
    "Jobs",
    "Journal",
    "Log",
    "Metrics",
    "Notices",
    "Quarantine",
    "Receiver",
    "Recipients",
    "RulesSettings",
    "Scanner",
    "Signatures",
    "Site",
    "Source",
    "Timeouts",
    "YaraSettings",
    "ZoneSettings",
    "host_port",
    "load",
    "read",
]

FILE: Final = "etc/spoolscan.toml"


class Config(Section):
    """All settings of one spool."""

    root: Path = Field(exclude=True)
    site: Site = Site()
    receiver: Receiver = Receiver()
    recipients: Recipients = Recipients()
    rules: RulesSettings = RulesSettings()
    dnsbl: Dnsbl = Dnsbl()
    scanner: Scanner = Scanner()
    bounds: Bounds = Bounds()
    engine: tuple[Engine, ...] = (YaraSettings(),)
    forwarder: Forwarder = Forwarder()
    notices: Notices = Notices()
    macros: MacroPolicy = MacroPolicy()
    quarantine: Quarantine = Quarantine()
    journal: Journal = Journal()
    signatures: Signatures = Signatures()
    jobs: Jobs = Jobs()
    metrics: Metrics = Metrics()
    log: Log = Log()

    def path(self, name: str | Path) -> Path:
        """A path of the settings; relative ones start at the spool."""
        return self.root / name

    @property
    def next_hop(self) -> str:
        """``forwarder.next_hop``, a maildir's path made absolute."""
        scheme, colon, rest = self.forwarder.next_hop.partition(":")
        return f"{scheme}:{self.path(rest)}" if scheme == "maildir" else scheme + colon + rest

    def template_folders(self) -> tuple[Path, Path]:
        """The site's templates, then ours."""
        return self.path("etc/templates"), share.folder("etc") / "templates"

    def engines(self) -> list[YaraSettings | ClamdSettings | CommandSettings]:
        """The engines' settings, with the paths in them made absolute."""
        return [
            settings.model_copy(
                update={name: self.path(it) for name, it in settings if isinstance(it, Path)}
            )
            for settings in self.engine
        ]

    def worker_count(self) -> int:
        """``scanner.workers``; 0 is one a processor, and at least two."""
        return self.scanner.workers or max(2, os.cpu_count() or 1)


def load(root: Path | str) -> Config:
    """Read a spool's settings.  Raises ConfigError with all that is wrong."""
    path = Path(root).absolute() / FILE
    try:
        return read(path.read_bytes().decode("utf-8-sig"), path)
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}; `spoolscan init DIR` lays out a spool, --spool names one"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8: {error}") from error


def read(text: str, path: Path) -> Config:
    """Settings from TOML; ``path`` is where it stands or will stand.  Raises ConfigError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    if "root" in data:
        raise ConfigError(f"{path}: root: unknown setting; --spool names the spool")
    try:
        return Config(**data, root=path.parent.parent)
    except ValidationError as error:
        lines = [mistakes.line(path, item, Config) for item in error.errors(include_url=False)]
        raise ConfigError("\n".join(lines)) from error
