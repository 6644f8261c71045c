"""Containers opened in one word, and what packs or opens them where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from spoolscan.cli.specimens import NAME, PAYLOAD
from spoolscan.scanner.bounds import Bounds, Budget
from spoolscan.scanner.unpack import Member, library, program, unpack, zstd
from spoolscan.scanner.unpack.listed import SEVEN_ZIP
from spoolscan.verdict import Cause, Doubt

THE_FILE = Member(NAME, PAYLOAD)

needs_library = pytest.mark.skipif(library.missing() is not None, reason="needs libarchive.so.13")
needs_box = pytest.mark.skipif(not program.box_works(), reason="needs bubblewrap, and leave to use")
needs_7zip = pytest.mark.skipif(SEVEN_ZIP.missing() is not None, reason="needs 7zz and bubblewrap")
needs_zstd = pytest.mark.skipif(zstd.missing() is not None, reason="needs python zstandard")


def found_in(data: bytes, bounds: Bounds = Bounds()) -> list[Member | Doubt]:
    return list(unpack(data, Budget(bounds)))


def opened(data: bytes, bounds: Bounds = Bounds()) -> list[Member]:
    return [item for item in found_in(data, bounds) if isinstance(item, Member)]


def doubts(data: bytes) -> list[Cause]:
    return [item.cause for item in found_in(data) if isinstance(item, Doubt)]


def causes(data: bytes) -> set[Cause]:
    return set(doubts(data))


def packed(folder: Path, packer: str, *argv: str) -> bytes:
    """What a real packer makes of the payload; "ARCHIVE" stands for the file it is to write."""
    if shutil.which(packer) is None:
        pytest.skip(f"needs {packer}")
    (folder / NAME).write_bytes(PAYLOAD)
    archive = folder / "packed"
    words = [word.replace("ARCHIVE", str(archive)) for word in argv]
    subprocess.run([packer, *words], cwd=folder, capture_output=True, check=True)
    (made,) = folder.glob("packed*")  # some put an ending to the name
    return made.read_bytes()
