"""Macros, and other ways in which a document does something: what speaks against it, in points.

Pure words about texts: the members of documents come by one by one, as the unpackers give them (the
source of VBA modules, what an .xls says of its Excel 4 macros, the XML of OOXML, RTF, CSV), and
each may have *traits* (see `traits`).  Those of one document are added up, each counted once; a
document is what the macro lies in: the archive of an .xlsm, or the compound file of its project.
etc/spoolscan.toml, [macros], says what becomes of a sum.

Here is the policy alone, which every stage reads with the settings; `score` judges by it.

Guarantees: linear time (RE2, or patterns that cannot look back far), never raises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spoolscan.units import Count


@dataclass(frozen=True, slots=True)
class MacroPolicy:
    """From how many points on a document is noted in the report, and banned."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    mark_at: Count = 1
    quarantine_at: Count = 35
