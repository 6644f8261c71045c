"""``spoolscan inspect``: the Report of any message, without a spool or a daemon.

What cannot be read to its end, for whatever reason, is UNSCANNABLE and never clean: a file that is
missing, cut, or too large, an engine that is down, a mistake of ours.  The other files are judged
all the same.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from spoolscan import config, envelope, share
from spoolscan.cli.place import find, named, spool_option
from spoolscan.cli.terminal import plain, table
from spoolscan.errors import Corrupt, TemporaryFailure
from spoolscan.scanner.bounds import LimitReached
from spoolscan.scanner.inspect import Tools
from spoolscan.scanner.inspect import inspect as judge
from spoolscan.scanner.toolbox import Toolbox
from spoolscan.verdict import Finding, Report, Verdict


@click.command(short_help="Judge .eml or spool files; nothing is moved or sent.")
@click.option("--json", "as_json", is_flag=True, help="A list of objects.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@spool_option
@click.pass_context
def inspect(
    context: click.Context, files: Sequence[str], spool: str | None, *, as_json: bool
) -> int:
    """Judge .eml or spool files ("-" is standard input); nothing is moved or sent.

    Uses the settings of the spool where there is one, else the defaults.  Exits 0 when all are
    clean, 1 when something was found, 2 when something could not be told.
    """
    toolbox = Toolbox(_settings(context, spool))
    try:
        tools = replace(toolbox.tools(), describe=True)
        worst = Verdict.CLEAN
        for number, file in enumerate(files):
            report = _report(file, tools)
            worst = max(worst, report.verdict)
            if as_json:
                click.echo("[" if number == 0 else ",\n", nl=False)
                click.echo(json.dumps({"id": file, **report.as_dict()}), nl=False)
            else:
                _show(file, report)
        if as_json:
            click.echo("]")
    finally:
        toolbox.close()
    return {Verdict.CLEAN: 0, Verdict.UNSCANNABLE: 2}.get(worst, 1)


def _settings(context: click.Context, spool: str | None) -> config.Config:
    root = find(context, spool)
    try:
        there = (root / config.FILE).is_file()
    except OSError:
        there = False
    if there or named(context, spool) is not None:
        return config.load(root)
    return config.Config(root=share.folder("etc").parent)


def _report(file: str, tools: Tools) -> Report:
    """A file's Report; what cannot be judged at all is UNSCANNABLE too."""
    try:
        return judge(_message(file, 2 * tools.bounds.decoded_bytes), tools).report
    except OSError as error:
        reason = f"unreadable: {error.strerror}"
    except Corrupt as error:
        reason = f"unreadable: {error}"
    except LimitReached as error:
        reason = f"limit: {error}"
    except TemporaryFailure as error:
        reason = f"limit: an engine could not answer: {error}"
    except Exception as error:  # what is not understood is never clean
        reason = f"unreadable: unexpected {type(error).__name__}: {error}; please report it"
    return Report(findings=[Finding(Verdict.UNSCANNABLE, (), reason, "reader")])


def _message(file: str, longest: int) -> bytes:
    """The message in a file, without the envelope of a spool file.

    Raises OSError; Corrupt where a spool file is not whole; LimitReached beyond ``longest`` bytes.
    """
    if file == "-":
        if sys.stdin is None:
            raise OSError(errno.EBADF, f"standard input: {os.strerror(errno.EBADF)}")
        data = sys.stdin.buffer.read(longest + 1)
    else:
        with Path(file).open("rb") as stream:
            data = stream.read(longest + 1)
    if len(data) > longest:
        raise LimitReached(f"more than {longest} bytes, twice [bounds] decoded_bytes")
    if not data.startswith(b"SPOOL 1 "):
        return data
    head = envelope.parse(data)
    body = data[head.body_offset :]
    if len(body) != head.size:
        raise Corrupt(f"its SIZE line says {head.size} bytes, and {len(body)} are there")
    return body


def _show(file: str, report: Report) -> None:
    click.echo(f"{plain(file)}: {report.verdict}")
    rows = [
        (
            str(part.number),
            " > ".join(part.path),
            part.media_type,
            "-" if part.size is None else str(part.size),
            part.suspicious or "-",
        )
        for part in report.parts
    ]
    if rows:
        table(("no", "part", "type", "bytes", "looked at because"), rows)
    for finding in report.findings:
        where = f" in {plain(' > '.join(finding.path))}" if finding.path else ""
        word = finding.verdict if finding.verdict > Verdict.CLEAN else "noted"
        click.echo(f"  {word}: {plain(finding.name)}{where} ({plain(finding.engine)})")
