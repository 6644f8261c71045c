"""``spoolscan run``: look at everything, then be the supervisor, and nothing else.

Looking takes engines, rules and templates, which a process that only waits for its children is not
to carry about for months.  So when all is well it becomes itself anew (execve(2)): the same
process id, environment and descriptors, told by a hidden option that there is nothing to check.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from spoolscan import log
from spoolscan.cli.place import find, spool_option
from spoolscan.supervisor import STAGE, Supervisor

_STAGES = ("smtpfwdd", "scanmail", "smtpd", "jobs")  # in the order in which they are started


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
    stages = [(name, (*program, name)) for name in _STAGES]

    async def supervise() -> None:
        await Supervisor(stages).run()

    asyncio.run(supervise())


def _check(root: Path, program: tuple[str, ...]) -> NoReturn:
    """Raises ConfigError, OSError; or begins anew."""
    from spoolscan import config  # noqa: PLC0415 - not for the one that stays
    from spoolscan.cli.checks import check_all  # noqa: PLC0415 - as above

    log.setup(STAGE)
    check_all(root)
    os.execv(program[0], [*program, "run", "--checked", config.load(root).log.to])  # noqa: S606 - no shell
