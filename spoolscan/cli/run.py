"""``spoolscan run``: look at everything, then be the supervisor, and nothing else.

Looking takes engines, rules and templates, which a process that only waits for its children is not
to carry about for months.  So when all is well it becomes itself anew (execve(2)): the same
process id, environment and descriptors, told by a hidden option that there is nothing to check.
Then it loads what its stages are made of, and makes them as copies of itself: that is in memory
once for all of them.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import click

from spoolscan import log
from spoolscan.cli.place import find, spool_option
from spoolscan.settled import settle
from spoolscan.supervisor import STAGE, Supervisor

_STAGES = ("smtpfwdd", "scanmail", "smtpd", "jobs")  # in the order in which they are started
_LOADED = (  # what stages load to live
    *("spoolscan.cli.stages", "spoolscan.cli.jobs", "spoolscan.config", "spoolscan.jobs.stage"),
    *("spoolscan.receiver.stage", "spoolscan.forwarder.stage", "spoolscan.scanner.stage"),
    *("spoolscan.scanner.daemon", "encodings.utf_8_sig"),
)


@click.command(short_help="Run all stages until SIGTERM; prints READY.")
@click.option("--checked", metavar="LOG", hidden=True, help="All is well; log there.")
@spool_option
@click.pass_context
def run(context: click.Context, spool: str | None, checked: str | None) -> None:
    """Run all stages in the foreground, until SIGTERM; READY when all accept work."""
    root = find(context, spool)
    program = (sys.executable, "-m", "spoolscan", "--spool", str(root))
    if checked is None:
        _check(root, program)
    log.send(STAGE, checked)
    for module in _LOADED:
        importlib.import_module(module)
    settle()
    stages = [(name, (*program, name), _life(root, name)) for name in _STAGES]

    async def supervise() -> None:
        await Supervisor(stages).run()

    asyncio.run(supervise())


def _life(root: Path, name: str) -> Callable[[], int]:
    """The command that a stage is."""
    from spoolscan.cli import main  # noqa: PLC0415 - it loads us

    return lambda: main(["--spool", str(root), name])


def _check(root: Path, program: tuple[str, ...]) -> NoReturn:
    """Raises ConfigError, OSError; or begins anew."""
    from spoolscan import config  # noqa: PLC0415 - not for the one that stays
    from spoolscan.cli.checks import check_all  # noqa: PLC0415 - as above

    log.setup(STAGE)
    check_all(root)
    os.execv(program[0], [*program, "run", f"--checked={config.load(root).log.to}"])  # noqa: S606 - no shell
