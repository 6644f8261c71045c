"""Encrypted Office documents ([MS-OFFCRYPTO]), opened where one of the message's passwords fits.

By the package ``msoffcrypto`` where it is installed; where it is not, they stay closed.  Excel and
PowerPoint open what is encrypted with certain words without asking, so those are tried always.
"""

from __future__ import annotations

import importlib
import io
import pkgutil
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

from spoolscan.scanner.passwords import DEFAULTS, OFFICE, Key
from spoolscan.scanner.unpack.meter import Meter

if TYPE_CHECKING:
    from types import ModuleType

_SPINS: Final = re.compile(rb'spinCount="\s*0*(\d+)')
_MOST_SPINS: Final = 200_000  # of a hash for one password; Office asks for 100,000


def missing() -> str | None:
    """What would have to be installed; None where all is there."""
    return None if _package() else "python msoffcrypto-tool"


def opened(data: bytes, meter: Meter) -> tuple[bytes, Key] | None:
    """The document decrypted, and by what; None where it stays closed.  Raises LimitReached."""
    package = _package()
    if package is None or any(int(spins) > _MOST_SPINS for spins in _SPINS.findall(data)):
        return None
    for key in _tries(meter):
        meter.budget.check_time()
        content = _decrypted(package, data, key.word)
        if content is not None:
            meter.take(len(content))
            meter.budget.keys.opened(key)
            return content, key
    return None


def _tries(meter: Meter) -> Iterator[Key]:
    yield from (Key(word, OFFICE) for word in DEFAULTS)
    yield from meter.budget.keys.tries()


def _decrypted(package: ModuleType, data: bytes, word: str) -> bytes | None:
    """None where the password is wrong, or the document not as the package wants it."""
    out = io.BytesIO()
    try:
        document = package.OfficeFile(io.BytesIO(data))
        document.load_key(password=word)
        document.decrypt(out)
    except Exception:  # it meets hostile bytes, and has many ways to say no
        return None
    return out.getvalue() or None


def _package() -> ModuleType | None:
    """Loaded by the first document that needs it; it need not be installed."""
    try:
        import msoffcrypto  # noqa: PLC0415  # optional, and not to be loaded at the start
    except ImportError:
        return None
    module: ModuleType = msoffcrypto
    return module


def load() -> None:
    """Have in memory what the package would look for on the disk while it reads a document."""
    package = _package()
    if package is None:
        return
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    for name in ("xml.dom.expatbuilder", "cryptography.hazmat.backends.openssl.backend"):
        importlib.import_module(name)  # these load them at their first document
    # What they decrypt they would keep in a temporary file for a while.
    for module in (package.format.doc97, package.format.ppt97, package.format.xls97):
        module.tempfile = SimpleNamespace(TemporaryFile=io.BytesIO)
