"""The files that our mail is written by: jinja2's environment, and its errors in our words.

A site's folder stands before ours.  Whatever a template puts in goes through `log.safe`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import (
    Environment,
    FileSystemLoader,
    StrictUndefined,
    Template,
    TemplateNotFound,
    TemplateSyntaxError,
    select_autoescape,
)
from markupsafe import Markup

from spoolscan.errors import ConfigError
from spoolscan.log import safe


def _shown(value: object) -> str:
    """What a template puts in; markup that it made itself stays as it is."""
    return value if isinstance(value, Markup) else safe(value)


class Library:
    """The templates of some folders; the first that has one gives it."""

    def __init__(self, folders: Sequence[Path | str]) -> None:
        self._environment = Environment(
            loader=FileSystemLoader([str(folder) for folder in folders], encoding="utf-8-sig"),
            autoescape=select_autoescape(("html",), default=False),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            finalize=_shown,
        )

    def names(self) -> list[str]:
        """All of them."""
        return self._environment.list_templates(extensions=["txt", "html"])

    def get(self, name: str) -> Template:
        """Raises ConfigError."""
        try:
            return self._environment.get_template(name)
        except TemplateNotFound as error:
            raise ConfigError(f"etc/templates/{name}: no such template") from error
        except TemplateSyntaxError as error:
            raise ConfigError(
                f"etc/templates/{name}: line {error.lineno}: {error.message}"
            ) from error
        except (UnicodeDecodeError, OSError) as error:
            raise ConfigError(f"etc/templates/{name}: {error}") from error
