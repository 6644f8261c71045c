"""``spoolscan reference`` and ``spoolscan completion``: what a reader and a shell are told.

The reference is made of what is there already: the help of every command, and the words of
etc/spoolscan.toml as it is shipped.  It is reStructuredText, for docutils or a pager.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import Final

import click
from click.shell_completion import get_completion_class

from spoolscan import share

VARIABLE: Final = "_SPOOLSCAN_COMPLETE"
_WIDTH: Final = 78
_TABLE: Final = re.compile(r"#?(\[+[a-z_.]+\]+)")


@click.command(short_help="Print a reference of all commands and settings.")
@click.pass_context
def reference(context: click.Context) -> None:
    """Print a reference of all commands and settings, as reStructuredText."""
    root = context.find_root()
    click.echo("\n".join([*_title("Commands", "="), *_commands(root.command, root)]))
    shipped = (share.folder("etc") / "spoolscan.toml").read_text("utf-8")
    click.echo("\n".join([*_title("Settings", "="), *_settings(shipped)]))


@click.command(short_help="Print what a shell needs to complete commands.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what bash, zsh or fish needs to complete commands and options.

    For bash: eval "$(spoolscan completion bash)" in ~/.bashrc.
    """
    made = get_completion_class(shell)
    assert made is not None  # noqa: S101 - the choice above is of those that click has
    click.echo(made(context.find_root().command, {}, "spoolscan", VARIABLE).source())


def _title(words: str, line: str) -> list[str]:
    return [words, line * len(words), ""]


def _commands(command: click.Command, context: click.Context) -> Iterator[str]:
    """One command, and all below it."""
    yield from _title(context.command_path, "-")
    yield f"``{' '.join([context.command_path, *command.collect_usage_pieces(context)])}``"
    yield ""
    yield from _prose(command.help or command.short_help or "")
    for parameter in command.get_params(context):
        if record := parameter.get_help_record(context):
            yield f"``{record[0]}``"
            yield from textwrap.wrap(
                record[1], _WIDTH, initial_indent="    ", subsequent_indent="    "
            )
    yield ""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from _commands(below, click.Context(below, context, name))


def _prose(text: str) -> Iterator[str]:
    for paragraph in text.replace("\b", "").strip().split("\n\n"):
        yield from textwrap.wrap(" ".join(paragraph.split()), _WIDTH)
        yield ""


def _settings(text: str) -> Iterator[str]:
    """Blocks of the file: words, then the settings that they are about."""
    for block in text.split("\n\n"):
        words: list[str] = []
        shown: list[str] = []
        for line in block.strip().split("\n"):
            if found := _TABLE.fullmatch(line):
                yield from _said(words, shown)
                words, shown = [], []
                yield from _title(found[1], "-")
            elif line == "#" or line.startswith("# "):
                if shown:
                    yield from _said(words, shown)
                    words, shown = [], []
                words.append(line[2:])
            elif line:
                shown.append(line.removeprefix("#"))
        yield from _said(words, shown)


def _said(words: list[str], shown: list[str]) -> Iterator[str]:
    if words:
        yield from words
        yield ""
    if shown:
        yield from ["::", "", *(f"    {line}" for line in shown), ""]
