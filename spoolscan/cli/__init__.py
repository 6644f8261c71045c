"""``spoolscan COMMAND``: thin; every command is a few lines over the modules above.

Commands are loaded when they are called, for a mail on its way through a pipe should not wait for
code that it does not need.  Errors of ours end in one message on standard error and the status of
``sysexits.h`` that belongs to them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Final

import click

from spoolscan import __version__
from spoolscan.errors import SpoolscanError

COMMANDS: Final = {
    "init": "spoolscan.cli.init:init",
    "check": "spoolscan.cli.stages:check",
    "run": "spoolscan.cli.stages:run",
    "smtpd": "spoolscan.cli.stages:smtpd",
    "scanmail": "spoolscan.cli.stages:scanmail",
    "smtpfwdd": "spoolscan.cli.stages:smtpfwdd",
    "inspect": "spoolscan.cli.inspect:inspect",
    "demo": "spoolscan.cli.demo:demo",
}


class _Lazy(click.Group):
    """A group that imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)  # noqa: S101 - the table above is ours
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="spoolscan")
@click.option("--spool", metavar="DIR", help="The spool [$SPOOLSCAN_SPOOL, /var/spool/spoolscan].")
@click.pass_context
def group(context: click.Context, spool: str | None) -> None:
    """An e-mail firewall in a spool directory: receive, scan, forward."""
    context.obj = spool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status."""
    try:
        status = group.main(args=arguments, prog_name="spoolscan", standalone_mode=False)
    except SpoolscanError as error:
        print(f"spoolscan: {error}", file=sys.stderr)
        return error.exit_status
    except click.ClickException as error:
        error.show()
        return 64
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # whoever read us is gone, and there is nothing to say it to
        return 141
    return status if isinstance(status, int) else 0
