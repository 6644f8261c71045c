"""Where the spool is: ``--spool DIR``, else $SPOOLSCAN_SPOOL, else /var/spool/spoolscan."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

DEFAULT: Final = "/var/spool/spoolscan"
_F = TypeVar("_F", bound=Callable[..., Any])


def named(context: click.Context, option: str | None) -> Path | None:
    """The spool that somebody named, before or after the command or in the environment."""
    word = option or context.obj or os.environ.get("SPOOLSCAN_SPOOL")
    return Path(word).absolute() if word else None


def find(context: click.Context, option: str | None) -> Path:
    """The spool, named or not."""
    return named(context, option) or Path(DEFAULT)


def spool_option(command: _F) -> _F:
    """Adds ``--spool`` to a command, which may also stand before it."""
    text = "The spool [$SPOOLSCAN_SPOOL, /var/spool/spoolscan]."
    return click.option("--spool", metavar="DIR", help=text)(command)
