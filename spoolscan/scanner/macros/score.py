"""Adds up the points of the documents of one message.  See the package."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from typing import Final

from spoolscan.scanner.macros import MacroPolicy, dde, excel4, ooxml, rtf, vba
from spoolscan.scanner.macros.traits import Trait
from spoolscan.verdict import Finding, Verdict

_COMPOUND: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


class Macros:
    """The traits of one message's documents."""

    def __init__(self) -> None:
        self._traits: dict[tuple[str, ...], dict[Trait, None]] = {}

    def look(self, data: bytes, path: tuple[str, ...]) -> None:
        """Take up what one decoded part or member says; ``path`` leads to it."""
        for trait in _traits(data, path[-1] if path else ""):
            where = path if trait.is_own else path[:-1] or path
            self._traits.setdefault(where, {})[trait] = None

    def findings(self, policy: MacroPolicy) -> list[Finding]:
        """One a document that has a score; what is only noted is a remark."""
        found = []
        for path, traits in self._traits.items():
            counted = _counted(traits)
            score = sum(trait.points for trait in counted)
            if score < min(policy.mark_at, policy.quarantine_at) or not counted:
                continue
            verdict = Verdict.BANNED if score >= policy.quarantine_at else Verdict.CLEAN
            words = ", ".join(dict.fromkeys(trait.words for trait in counted))
            found.append(Finding(verdict, path, f"macros, {score} points: {words}", "macros"))
        return found


def _counted(traits: Iterable[Trait]) -> list[Trait]:
    """Those with points: what a macro does counts only where there is one."""
    counted = list(traits)
    if vba.PROJECT in counted and vba.SOURCE not in counted:
        counted.insert(0, vba.NO_SOURCE)
    present = any(trait.is_presence for trait in counted)
    return [it for it in counted if it.points and (present or it.is_own or it.is_presence)]


def _traits(data: bytes, name: str) -> Iterator[Trait]:
    """What one text says, by what it is."""
    if excel4.is_sheet_name(name):
        yield excel4.ZIPPED
    if data.startswith(_COMPOUND):
        yield from vba.of_compound(data)
        yield from dde.of_compound(data)
        return
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = data.decode("utf-16", "replace").encode()
    if excel4.is_listing(data):
        yield from excel4.of_listing(data)
    elif vba.is_module(data):
        yield from vba.of_module(data)
    elif rtf.is_rtf(data):
        yield from rtf.of_document(data)
    elif ooxml.is_xml(data):
        yield from ooxml.of_part(data)
    elif dde.is_table(name):
        yield from dde.of_table(data)
