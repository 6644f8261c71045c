"""What reading a clean mail costs, and how much of ordinary mail is decoded at all.

    python tests/bench/reading.py
    python tests/bench/reading.py --mails ~/Maildir/cur

First: structure, names and patterns of a clean text of 20 KiB, against the standard library's
email.message_from_bytes on the same bytes, taking turns in the same run; the least of the rounds.
The whole inspect(), as a daemon would do it, stands beside it.  Then, of all parts in a directory
of mails, how many were worth decoding.

Exits 1 where reading costs more than the standard library.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from email import message_from_bytes
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import corpus_rows  # noqa: E402 - found only by the line above

from spoolscan import share  # noqa: E402 - found only by the line above
from spoolscan.scanner import mime, names  # noqa: E402 - as above
from spoolscan.scanner.bounds import Bounds, Budget  # noqa: E402 - as above
from spoolscan.scanner.inspect import Tools, inspect  # noqa: E402 - as above
from spoolscan.scanner.patterns import Patterns  # noqa: E402 - as above

_BATCH = 50  # messages between two looks at the clock


def clean_text(size: int = 20 * 1024) -> bytes:
    """A letter as it arrives: the usual header, and short lines."""
    head = (
        b"Return-Path: <alice@example.org>\r\n"
        b"Received: from mail.example.org (mail.example.org [192.0.2.7])\r\n"
        b"\tby mx.example.com (Postfix) with ESMTPS id 4F1A2B3C4D\r\n"
        b"\tfor <bob@example.com>; Sat, 21 Nov 2026 05:30:00 +0000 (UTC)\r\n"
        b"Received: by mail.example.org with local id 1abcDE-000123-4F;\r\n"
        b"\tSat, 21 Nov 2026 05:29:58 +0000\r\n"
        b"Date: Sat, 21 Nov 2026 05:29:57 +0000\r\n"
        b"From: Alice Example <alice@example.org>\r\n"
        b"To: Bob Example <bob@example.com>\r\n"
        b"Cc: carol@example.com, Dave <dave@example.net>\r\n"
        b"Subject: Minutes of the meeting on Friday\r\n"
        b"Message-ID: <20261121052957.GA12345@mail.example.org>\r\n"
        b"References: <20261120101010.GA99@example.com>\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 8bit\r\n"
        b"User-Agent: Mutt/2.2.9\r\n\r\n"
    )
    line = b"The quick brown fox jumps over the lazy dog, and says so in a mail.\r\n"
    return head + line * ((size - len(head)) // len(line))


def _tools() -> Tools:
    def shipped(name: str) -> Patterns:
        return Patterns.parse((share.folder("etc") / name).read_bytes(), name)

    return Tools(bad=shipped("matches.bad"), doc=shipped("matches.doc"), engines=())


def _read(data: bytes, tools: Tools) -> None:
    """Structure, names and both pattern files: what the first pass does."""
    budget = Budget(Bounds())
    for part in mime.read(data, budget).parts:
        found = names.of_part(part.headers, budget)
        tools.bad.first(found.lines)
        tools.doc.first(found.lines)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    for _ in range(_BATCH):
        work()
    return (time.perf_counter() - started) / _BATCH


@click.command()
@click.option("--rounds", default=60, show_default=True, help="Of which the fastest counts.")
@click.option(
    "--mails",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=None,
    help="A directory of mails.  [default: the ordinary mails of the shared corpus]",
)
def main(rounds: int, mails: Path | None) -> None:
    """Compare our reading with the standard library's; tell the share of parts decoded."""
    data, tools = clean_text(), _tools()
    works: dict[str, Callable[[], object]] = {
        "ours": lambda: _read(data, tools),
        "inspect()": lambda: inspect(data, tools),
        "standard library": lambda: message_from_bytes(data),
    }
    console = Console(stderr=True)
    best = dict.fromkeys(works, float("inf"))
    for _ in track(
        range(rounds), "reading", console=console, disable=not console.is_terminal, transient=True
    ):
        for name, work in works.items():
            best[name] = min(best[name], _seconds(work))
    ratio = best["ours"] / best["standard library"]
    for name, seconds in best.items():
        click.echo(f"{name:18}{seconds * 1e6:8.1f} us for {len(data)} bytes of clean text")
    click.echo(f"ours to the standard library: {ratio:.2f}")
    _decoded(list(_mails(mails)), tools)
    raise SystemExit(1 if ratio >= 1 else 0)


def _mails(folder: Path | None) -> list[bytes]:
    if folder is not None:
        return [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]
    return [row.mail() for row in corpus_rows.rows() if row.kind in ("real mail", "clean mail")]


def _decoded(mails: list[bytes], tools: Tools) -> None:
    """A part is decoded when it is not surely harmless by its names, type and content."""
    parts = suspicious = clean = 0
    for data in mails:
        report = inspect(data, tools).report
        parts += len(report.parts)
        suspicious += sum(part.suspicious is not None for part in report.parts)
        clean += all(part.suspicious is None for part in report.parts)
    if not mails:
        click.echo("no mails: give --mails DIRECTORY or set SPOOLSCAN_CORPUS")
        return
    click.echo(
        f"{len(mails)} mails with {parts} parts: {suspicious} parts ({suspicious / parts:.0%})"
        f" went to the unpackers and engines, {clean} mails ({clean / len(mails):.0%}) had none"
    )


if __name__ == "__main__":
    main()
