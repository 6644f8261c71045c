"""The reference names all commands and settings; the shell is told how to complete them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from test_documentation import EXISTING

from spoolscan import cli


def commands(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    """Every one with its whole name."""
    yield context.command_path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, click.Context(below, context, name))


ALL = dict(commands(cli.group, click.Context(cli.group, info_name="spoolscan")))


@pytest.fixture(scope="module")
def reference() -> str:
    command = [sys.executable, "-m", "spoolscan", "reference"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize("path", ALL)
def test_the_reference_has_every_command_with_all_its_options(path: str, reference: str) -> None:
    _, _, rest = reference.partition(f"\n{path}\n{'-' * len(path)}\n")
    assert rest
    part = rest.partition("\n---")[0]
    for parameter in ALL[path].params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.opts[0] in part
    assert ALL[path].help, f"{path} has no help"


def test_the_reference_has_every_setting(reference: str) -> None:
    for place in EXISTING:
        name = place.rpartition(".")[2]
        assert f"\n    {name} = " in reference, place
    for table in {place.rpartition(".")[0].partition(" ")[0] for place in EXISTING}:
        assert f"[{table}]" in reference


def test_the_reference_fits_a_terminal(reference: str) -> None:
    assert max(map(len, reference.split("\n"))) <= 100


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete(shell: str) -> None:
    command = [sys.executable, "-m", "spoolscan", "completion", shell]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "_SPOOLSCAN_COMPLETE" in said


def test_bash_completes_commands_and_options() -> None:
    source = subprocess.run(
        [sys.executable, "-m", "spoolscan", "completion", "bash"],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    script = (
        f'spoolscan() {{ "{sys.executable}" -m spoolscan "$@"; }}\n{source}\n'
        "COMP_WORDS=(spoolscan qu); COMP_CWORD=1; _spoolscan_completion spoolscan; "
        'echo "${COMPREPLY[@]}"\n'
        "COMPREPLY=(); COMP_WORDS=(spoolscan queue list --ol); COMP_CWORD=3\n"
        "_spoolscan_completion spoolscan\n"
        'echo "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.split("\n")[:2] == ["queue quarantine", "--older"], done.stderr
