"""Where the files that travel with the package lie: etc/, bin/ and var-skeleton/.

Installed, they are inside the package; in a checkout they are at its top level.
"""

from __future__ import annotations

from pathlib import Path


def folder(name: str) -> Path:
    """The directory of that name."""
    inside = Path(__file__).parent / "share" / name
    return inside if inside.is_dir() else Path(__file__).parent.parent / name
