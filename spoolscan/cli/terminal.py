"""What is printed is safe on a terminal, and plain text when there is none."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from spoolscan.log import safe

if TYPE_CHECKING:
    from rich.table import Table

_WIDTH: Final = 80
_LEAST: Final = 6  # characters of a column


def plain(value: object) -> str:
    """One line of printable characters."""
    return safe(value)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns: by rich on a terminal; elsewhere two spaces between them, folded to fit 80."""
    cells = [[plain(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _rich(head, cells)
        return
    widths = [max(len(row[column]) for row in [list(head), *cells]) for column in range(len(head))]
    while sum(widths) + 2 * len(widths) > _WIDTH and max(widths) > _LEAST:
        widths[widths.index(max(widths))] -= 1
    for row in [list(head), *cells]:
        folded = [_folded(cell, width) for cell, width in zip(row, widths, strict=True)]
        for pieces in zip_longest(*folded, fillvalue=""):
            line = "  ".join(
                piece.ljust(width) for piece, width in zip(pieces, widths, strict=True)
            )
            print(f"  {line.rstrip()}")


def _folded(cell: str, width: int) -> list[str]:
    return [cell] if len(cell) <= width else textwrap.wrap(cell, width)


def _rich(head: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from rich.console import Console  # noqa: PLC0415 - slow to load, and only for a terminal

    Console(soft_wrap=False).print(rich_table(head, cells))


def rich_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """For a terminal."""
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415

    shown = Table(box=None, header_style="bold", pad_edge=False)
    for name in head:
        shown.add_column(name, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(plain(cell)) for cell in row))
    return shown
