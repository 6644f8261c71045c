"""The scanners behind one seam: the table of implementations, and `build`.

`contract` says what an engine is; every other module here is one implementation with its settings.
A new one is a module, a row in ENGINES and a bench in tests/contracts/test_engines.py.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spoolscan.config import ClamdSettings, CommandSettings, YaraSettings
from spoolscan.errors import ConfigError
from spoolscan.scanner.engines.contract import Engine, Sample, Tell, WrongAnswer
from spoolscan.scanner.engines.panel import Panel

__all__ = [
    "ENGINES",
    "ClamdSettings",
    "CommandSettings",
    "Engine",
    "Panel",
    "Sample",
    "Settings",
    "WrongAnswer",
    "YaraSettings",
    "build",
]

Settings = YaraSettings | ClamdSettings | CommandSettings
_Maker = Callable[[Any, Tell], Engine]

# Module and class, loaded where one is set up; each is called with its settings and a Tell.
ENGINES: Mapping[type[Settings], tuple[str, str]] = {
    YaraSettings: ("yara", "Yara"),
    ClamdSettings: ("clamd", "Clamd"),
    CommandSettings: ("command", "Command"),
}


_log = logging.getLogger(__name__)


def build(config: Sequence[Settings], tell: Tell = _log.warning) -> list[Engine]:
    """The engines of a configuration, in its order.

    `tell` is given what an engine has to say between scans (a rule file that could not be
    reloaded).  No scanner is called yet: that is `Engine.awake`.  Raises ConfigError where there is
    no engine, two share a name, or one can never work as it is set up.
    """
    if not config:
        raise ConfigError("no engine is set up: nothing would be scanned; set up at least one")
    if all(settings.backup for settings in config):
        raise ConfigError("every engine is a backup: one must have backup = false")
    names = [settings.name for settings in config]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two engines are called {name!r}: give each a name of its own")
    return [_one(settings, tell) for settings in config]


def _one(settings: Settings, tell: Tell) -> Engine:
    module, name = ENGINES[type(settings)]
    make: _Maker = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    engine = make(settings, tell)
    if isinstance(settings, YaraSettings) or not settings.concurrency:
        return engine
    from spoolscan.scanner.engines.limited import Limited  # noqa: PLC0415 - few are outside

    return Limited(engine, settings.concurrency, settings.scratch, settings.timeout)
