"""How many archives a second are opened, by format.

    python tests/bench/archives.py
    python tests/bench/archives.py --only zip --seconds 3

Each holds one small program.  Those of our own making are the specimens of the tests; the others
are packed by what packers there are.  Seconds are of the clock, for helper programs take most of
what their formats cost; one process, as a worker of the scanner is one.

Exits 1 where a format that nothing but our own code opens gives no member.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from containers import SPECIMENS  # noqa: E402 - found only by the line above

from spoolscan.cli.specimens import NAME, PAYLOAD, cabinet, lzh, rar, seven_zip  # noqa: E402 - found only by the line above
from spoolscan.scanner.bounds import Bounds, Budget  # noqa: E402 - as above
from spoolscan.scanner.passwords import Keys  # noqa: E402 - as above
from spoolscan.scanner.unpack import Member, unpack  # noqa: E402 - as above

BORROWED = {"RAR (libarchive)": rar, "7z (libarchive)": seven_zip, "cabinet": cabinet, "LZH": lzh}
PACKERS = {
    "ARJ (7zz)": ("arj", "a", "-y", "made", NAME),
    "WIM (7zz)": ("7zz", "a", "-twim", "made", NAME),
    "zip, Deflate64 (7zz)": ("7zz", "a", "-tzip", "-mm=Deflate64", "made", NAME),
    "zip, AES, password tenth": ("7zz", "a", "-tzip", "-mem=AES256", "-psecret", "made", NAME),
    "7z, AES, password tenth": ("7zz", "a", "-psecret", "made", NAME),
}
WORDS = (*[f"word{number}" for number in range(9)], "secret")


def _packed(argv: tuple[str, ...]) -> bytes | None:
    if shutil.which(argv[0]) is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / NAME).write_bytes(PAYLOAD)
        subprocess.run(argv, cwd=folder, capture_output=True, check=True)
        (made,) = Path(folder).glob("made*")
        return made.read_bytes()


def _open(data: bytes) -> bool:
    """Whether the program came out."""
    budget = Budget(Bounds(), keys=Keys(WORDS, most=50, seconds=15))
    found = list(unpack(data, budget))
    return any(isinstance(item, Member) and item.data == PAYLOAD for item in found)


@click.command()
@click.option("--only", default="", help="Formats whose name has this in it.")
@click.option("--seconds", default=0.5, show_default=True, help="How long each is opened.")
def main(only: str, seconds: float) -> None:
    """Open each specimen again and again."""
    archives: dict[str, bytes | None] = {
        name: data for name, data in SPECIMENS.items() if name not in ("borrowed", "buried")
    }
    own = set(archives)
    archives |= {name: make() for name, make in BORROWED.items()}
    archives |= {name: _packed(argv) for name, argv in PACKERS.items()}
    click.echo(f"{'format':26}{'bytes':>7}{'a second':>10}")
    failures = 0
    for name, data in archives.items():
        if only not in name:
            continue
        if data is None:
            click.echo(f"{name:26}{'':7}{'-':>10}  its packer is not there")
            continue
        opened, count = _open(data), 0
        started = time.perf_counter()
        while (spent := time.perf_counter() - started) < seconds:
            _open(data)
            count += 1
        failures += name in own and not opened
        note = "" if opened else "  not opened here"
        click.echo(f"{name:26}{len(data):7}{count / spent:10.0f}{note}")
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
