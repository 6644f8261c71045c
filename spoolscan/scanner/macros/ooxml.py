"""The XML of Office: content types, relationships, fields, links and macro sheets (ECMA-376)."""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Iterator
from typing import Final

from spoolscan.scanner.macros import dde, excel4
from spoolscan.scanner.macros.traits import Trait, compiled

TEMPLATE: Final = Trait("template from the Internet", 50, is_own=True)
SHARED_TEMPLATE: Final = Trait("template from another computer", 25, is_own=True)
_OBJECT: Final = Trait("object from the Internet", 50, is_own=True)
_DISGUISED: Final = Trait("VBA in a document that is said to have none", 50, is_presence=True)

ENDLESS: Final = Trait("more fields or relationships than are read", 50, is_own=True)

MOST: Final = 50_000  # of either in one part
_HEAD: Final = 2048
_LEADING: Final = b"\xef\xbb\xbf \t\r\n"
_COMMENT: Final = compiled(rb"<!--.*?-->")
_CDATA: Final = compiled(rb"<!\[CDATA\[(.*?)\]\]>")
_TYPES: Final = b"/package/2006/content-types"
_PROJECT: Final = compiled(rb"application/vnd\.ms-office\.vbaProject")
_ADMITTED: Final = compiled(rb"macroenabled|application/vnd\.ms-excel\.sheet\.binary")
_SHEET_TYPE: Final = compiled(rb"application/vnd\.ms-excel\.(?:intl)?macrosheet")
_SHEET: Final = compiled(rb"<(?:\w{1,20}:)?macrosheet[\s>]")
_ATTRIBUTES: Final = rb"((?:[^>\"']|\"[^\"]*\"|'[^']*')*)"  # ">" may stand in them
_RELATIONSHIP: Final = compiled(rb"<(?:\w{1,20}:)?Relationship\s" + _ATTRIBUTES)
_TARGET: Final = re.compile(r"(?i)\btarget\s{0,4}=\s{0,4}[\"']\s{0,40}([^\"']*)")
_EXTERNAL: Final = re.compile(r"(?i)targetmode\s{0,4}=\s{0,4}[\"']\s{0,4}external")
_EMBEDDED: Final = re.compile(r"(?i)/(?:oleobject|frame|subdocument|control)[\"']")
_FAR: Final = re.compile(r"(?i)(?:https?|ftp|mhtml|ms-msdt|x-usc):")
_SHARE: Final = re.compile(r"(?i)(?:file:)?(?:///?)?[/\\]{2}[^/\\]")  # no drive of one's own
_INSTRUCTION: Final = compiled(
    rb"(fldCharType\s{0,4}=\s{0,4}[\"']begin)|<(?:\w{1,20}:)?instrText(?:\s[^>]*)?>([^<]*)<"
    rb"|\binstr\s{0,4}=\s{0,4}(?:\"([^\"]*)\"|'([^']*)')"
)
_LINK: Final = compiled(
    rb"<(?:\w{1,20}:)?ddeLink\s[^>]{0,400}ddeService\s{0,4}=\s{0,4}[\"']\s{0,8}"
    + dde.SERVICE
    + rb"[\"']"
)
_FORMULA: Final = compiled(
    rb"Formula\s{0,4}=\s{0,4}\"\s{0,8}[=+@-][^\"|]{0,200}" + dde.SERVICE + rb"\|"
)


def is_xml(data: bytes) -> bool:
    return data[:_HEAD].lstrip(_LEADING).startswith(b"<")


def of_part(data: bytes) -> Iterator[Trait]:
    """One part of a document, or a whole one in the XML of Office 2003."""
    data = _COMMENT.sub(b"", data)
    if b"<![CDATA[" in data:
        data = _CDATA.sub(_escaped, data)
    head = data[:_HEAD]
    if _TYPES in head:
        yield from _of_types(data)
        return
    if _SHEET.search(head):
        yield excel4.ZIPPED
        if excel4.CALLS.search(data):
            yield excel4.STARTS_PROGRAMS
    relationships = _RELATIONSHIP.finditer(data)
    for relationship in itertools.islice(relationships, MOST):
        yield from _of_relationship(html.unescape(relationship[1].decode("latin-1")))
    if _LINK.search(data) or _FORMULA.search(data):
        yield dde.COMMAND
    yield from dde.of_instructions(_instructions(data))
    if next(relationships, None) or data.count(b"instr") > MOST:
        yield ENDLESS


def _escaped(section: re.Match[bytes]) -> bytes:
    """A CDATA section (XML 1.0, 2.7) as it would stand without one."""
    return section[1].replace(b"&", b"&amp;").replace(b"<", b"&lt;")


def _of_types(data: bytes) -> Iterator[Trait]:
    """[Content_Types].xml, which no reader can do without."""
    if _PROJECT.search(data) and not _ADMITTED.search(data):
        yield _DISGUISED
    if _SHEET_TYPE.search(data):
        yield excel4.ZIPPED


def _of_relationship(attributes: str) -> Iterator[Trait]:
    """One line of a .rels file (part 2, 9.3).  A template on a local drive is in every document."""
    found = _TARGET.search(attributes)
    if found is None or not _EXTERNAL.search(attributes):
        return
    target = found[1]
    if "/attachedtemplate" in attributes.lower():
        if _FAR.match(target):
            yield TEMPLATE
        elif _SHARE.match(target):
            yield SHARED_TEMPLATE
    elif _FAR.match(target) and _EMBEDDED.search(attributes):
        yield _OBJECT


def _instructions(data: bytes) -> bytes:
    """The fields of a Word document, a line each; the pieces of one may stand in many runs."""
    pieces = (
        b"\n" if piece[1] else piece[2] or b"\n%b\n" % (piece[3] or piece[4] or b"")
        for piece in itertools.islice(_INSTRUCTION.finditer(data), MOST)
    )
    return html.unescape(b"".join(pieces).decode("latin-1")).encode("latin-1", "replace")
