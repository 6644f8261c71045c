"""``spoolscan COMMAND``: thin; every command is a few lines over the modules above.

Commands are loaded when they are called, for a mail on its way through a pipe should not wait for
code that it does not need.  Errors of ours end in one message on standard error and the status of
``sysexits.h`` that belongs to them; so does what nobody expected, as a temporary one that names its
place in the code.  A traceback is never printed.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from spoolscan import __version__
from spoolscan.errors import SpoolscanError, TemporaryFailure
from spoolscan.log import safe

COMMANDS: Final = {
    "init": "spoolscan.cli.init:init",
    "check": "spoolscan.cli.stages:check",
    "run": "spoolscan.cli.run:run",
    "smtpd": "spoolscan.cli.stages:smtpd",
    "scanmail": "spoolscan.cli.stages:scanmail",
    "smtpfwdd": "spoolscan.cli.stages:smtpfwdd",
    "queue": "spoolscan.cli.queue:group",
    "routes": "spoolscan.cli.routes:group",
    "passwd": "spoolscan.cli.passwd:passwd",
    "recipients": "spoolscan.cli.recipients:recipients",
    "inspect": "spoolscan.cli.inspect:inspect",
    "rules": "spoolscan.cli.rules:rules",
    "quarantine": "spoolscan.cli.quarantine:group",
    "jobs": "spoolscan.cli.jobs:jobs",
    "daysumm": "spoolscan.cli.daysumm:daysumm",
    "sigupdate": "spoolscan.cli.sigupdate:sigupdate",
    "log": "spoolscan.cli.history:log",
    "explain": "spoolscan.cli.history:explain",
    "demo": "spoolscan.cli.demo:demo",
    "status": "spoolscan.cli.status:status",
    "doctor": "spoolscan.cli.doctor:doctor",
    "selftest": "spoolscan.cli.selftest:selftest",
    "reference": "spoolscan.cli.reference:reference",
    "completion": "spoolscan.cli.reference:completion",
}
_COMPLETE: Final = "_SPOOLSCAN_COMPLETE"  # as `spoolscan completion` says it to the shell
_USAGE: Final = 64  # EX_USAGE
_FRAMES: Final = 4  # of the place where something unexpected happened
_YOUNG: Final = 20_000  # new objects after which garbage is looked for; loading makes only keepers


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
    gc.set_threshold(_YOUNG)
    atexit.register(gc.freeze)  # what goes with the process need not be collected
    _mend_streams()
    if threading.current_thread() is threading.main_thread():  # no other may say it
        # Who started us may ignore it, and so would we: each program would end well (wait(2)).
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        status = _call(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt):
        status = 130
    except BrokenPipeError:
        _print_no_more()  # whoever read us is gone
        status = 141
    except Exception as error:  # the last one who can tell of it
        status = _told(error)
    return status


def _call(arguments: Sequence[str]) -> int:
    """As click does it, but for what it makes of a broken pipe: 1, which is a verdict here."""
    if instruction := os.environ.get(_COMPLETE):
        from click.shell_completion import shell_complete  # noqa: PLC0415 - a shell asks, rarely

        return shell_complete(group, {}, "spoolscan", _COMPLETE, instruction)
    try:
        with group.make_context("spoolscan", list(arguments)) as context:
            status = group.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    return status if isinstance(status, int) else 0


def _told(error: Exception) -> int:
    """Say what went wrong in one message; returns the exit status."""
    if isinstance(error, click.ClickException):
        error.show()
        return _USAGE
    if isinstance(error, OSError):
        _print_no_more()
        error = TemporaryFailure.from_os(error, safe(error.filename or "writing the output"))
    if isinstance(error, SpoolscanError):
        print(f"spoolscan: {error}", file=sys.stderr)
        return error.exit_status
    what = f"{type(error).__name__} at {_place(error)}: {safe(error)}"
    print(f"spoolscan: unexpected {what}; please report it", file=sys.stderr)
    return TemporaryFailure.exit_status  # what is not understood is temporary


def _place(error: BaseException) -> str:
    """The innermost lines of the code that it came through, the innermost first."""
    places: list[str] = []
    trace = error.__traceback__
    while trace is not None:
        places.append(f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " < ".join(places[: -_FRAMES - 1 : -1])


def _mend_streams() -> None:
    """Printing must not fail for a stream that the caller closed, nor for its character set."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # a socket of ours must never become standard output
    os.close(descriptor)
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            nowhere = open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - to stay
            setattr(sys, name, nowhere)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _print_no_more() -> None:
    """Nobody takes what is still to be written; the flush at the end shall not say so again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
