"""The settings of each ``[[engine]]``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PlainValidator

from spoolscan.config.kinds import Section
from spoolscan.units import Duration, Size


def _addresses(value: object) -> object:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(it, str) for it in value):
        return tuple(value)
    raise ValueError("allowed: an address in quotes, or a list of them")


class EngineSettings(Section):
    """What every engine has."""

    timeout: Duration = 60.0
    backup: bool = False
    canary: bool = True


class OutsideSettings(EngineSettings):
    """What is asked beside us has more."""

    concurrency: int = Field(default=0, ge=0, le=1000, strict=True)
    scratch: Path = Path("var")


class YaraSettings(EngineSettings):
    """The embedded engine: rules of a directory."""

    kind: Literal["yara"] = "yara"
    name: str = "yara"
    rules: Path = Path("etc/rules")
    timeout: Duration = 30.0


class ClamdSettings(OutsideSettings):
    """ClamAV's daemon."""

    kind: Literal["clamd"] = "clamd"
    name: str = "clamd"
    address: Annotated[str | tuple[str, ...], PlainValidator(_addresses)] = (
        "unix:/run/clamav/clamd.ctl"
    )
    method: Literal["auto", "fildes", "instream"] = "auto"
    max_bytes: Size = 26_214_400


class CommandSettings(OutsideSettings):
    """Any scanner with a command line."""

    kind: Literal["command"] = "command"
    name: str = "command"
    argv: tuple[str, ...]
    clean: frozenset[int] = frozenset({0})
    infected: frozenset[int] = frozenset({1})
    pattern: str = r": (.+) FOUND$"
    version: tuple[str, ...] = ()


Engine = Annotated[YaraSettings | ClamdSettings | CommandSettings, Field(discriminator="kind")]
