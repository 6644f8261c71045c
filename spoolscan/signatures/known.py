"""What is known of each source: ``var/signatures.json``, an object for each.

It decides only what counts as older and what was told already.  Without it, a version that was in
force before might come back; nothing that is in force is lost.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final

from spoolscan.spool import Spool

FILE: Final = "signatures.json"


@dataclass(frozen=True, slots=True)
class Known:
    """Times are seconds since the epoch, 0 for never.

    ``serial`` is the highest that ever was in force; ``changed`` when it came, ``checked`` when the
    source was asked last and all was well; ``words`` what was found then; ``trouble`` why not all
    is well since, and when that was ``told``.
    """

    serial: int = 0
    changed: float = 0.0
    checked: float = 0.0
    words: str = ""
    trouble: str = ""
    told: float = 0.0


def read(spool: Spool) -> dict[str, Known]:
    """By the source's name; what cannot be read is not known."""
    try:
        with open(spool.path("var", FILE), encoding="ascii") as file:
            return {name: _known(data) for name, data in json.load(file).items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _known(data: dict[str, object]) -> Known:
    numbers = [float(str(data[name])) for name in ("changed", "checked", "told")]
    changed, checked, told = numbers
    words, trouble = str(data["words"]), str(data["trouble"])
    return Known(int(str(data["serial"])), changed, checked, words, trouble, told)


def write(spool: Spool, known: dict[str, Known]) -> None:
    """Raises TemporaryFailure."""
    data = {name: asdict(one) for name, one in known.items()}
    spool.note(FILE, json.dumps(data, indent=1).encode("ascii"))
