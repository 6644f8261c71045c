"""The settings of each ``[[engine]]``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from spoolscan.config.kinds import Section
from spoolscan.units import Duration, Size


class YaraSettings(Section):
    """The embedded engine: rules of a directory."""

    kind: Literal["yara"] = "yara"
    name: str = "yara"
    rules: Path = Path("etc/rules")
    timeout: Duration = 30.0


class ClamdSettings(Section):
    """ClamAV's daemon."""

    kind: Literal["clamd"] = "clamd"
    name: str = "clamd"
    address: str = "unix:/run/clamav/clamd.ctl"
    method: Literal["auto", "fildes", "instream"] = "auto"
    timeout: Duration = 60.0
    max_bytes: Size = 26_214_400


class CommandSettings(Section):
    """Any scanner with a command line."""

    kind: Literal["command"] = "command"
    name: str = "command"
    argv: tuple[str, ...]
    clean: frozenset[int] = frozenset({0})
    infected: frozenset[int] = frozenset({1})
    pattern: str = r": (.+) FOUND$"
    timeout: Duration = 60.0
    version: tuple[str, ...] = ()
    scratch: Path = Path("var")


Engine = Annotated[YaraSettings | ClamdSettings | CommandSettings, Field(discriminator="kind")]
