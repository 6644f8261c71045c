"""PDF files (ISO 32000-1): embedded files, scripts, forms, and what is done at opening.

Objects are taken wherever they stand, also in object streams; the tables that lead to them are not
asked.  Members are the embedded files under their names, JavaScript and XFA forms, and any other
stream that is something by its content.  Where object streams hide what a document does, it is
written out as a document of its own, in plain names, for the engines' rules.
"""

from __future__ import annotations

import bisect
import codecs
import itertools
import re
from collections.abc import Iterator
from typing import Any, Final

from spoolscan.scanner.bounds import Budget
from spoolscan.scanner.content import sniff
from spoolscan.scanner.unpack import pdfcrypt, pdffilters
from spoolscan.scanner.unpack.meter import Meter
from spoolscan.scanner.unpack.pdfobjects import (
    Name,
    Object,
    Reference,
    Tally,
    dicts,
    objects,
    value_at,
    written,
)
from spoolscan.scanner.unpack.seam import Member, unlocked
from spoolscan.verdict import Cause, Doubt

_HEAD: Final = 1024  # bytes in which a reader looks for a beginning
_ACTIVE: Final = frozenset(
    ("OpenAction", "AA", "JS", "JavaScript", "Launch", "SubmitForm", "ImportData", "GoToE", "GoToR",
     "RichMedia", "EmbeddedFile", "XFA")
)  # fmt: skip
_NAMES: Final = ("UF", "F", "Unix", "Mac", "DOS")
_WORTHY: Final = frozenset(  # streams of these types are files, whoever points to them
    ("application/x-dosexec", "application/x-executable", "application/x-mach-binary",
     "application/java-vm", "application/x-shockwave-flash", "application/x-ms-shortcut",
     "application/zip", "application/vnd.rar", "application/x-7z-compressed", "application/pdf",
     "application/vnd.ms-cab-compressed", "application/x-ole-storage", "application/rtf")
)  # fmt: skip
_NOTHING: Final = ("application/octet-stream", "text/plain")
_TRIED: Final = 4096  # packed bytes of a stream that show what it is
_END: Final = re.compile(rb"endstream|endobj")
_BLANKS: Final = 64  # bytes in which a stream's end stands behind it
_STEPS: Final = 32  # references that lead to one another


class Pdf:
    """See the module."""

    name = "PDF"
    trace = b"%PDF-|%FDF-|endobj"

    def recognises(self, data: bytes) -> bool:
        head = data[:_HEAD]
        if b"%PDF-" in head or b"%FDF-" in head:
            return True
        # Some readers do without a beginning, or look for it further on.
        return b"endobj" in data and sniff(data) in _NOTHING

    def members(self, data: bytes, budget: Budget) -> Iterator[Member | Doubt]:
        yield from _Document(data, budget).members()


class _Document:
    """One file, its objects, and who points to whom.  Raises LimitReached."""

    def __init__(self, data: bytes, budget: Budget) -> None:
        self._data = data
        self._meter = Meter(budget, len(data))
        self._objects: list[Object] = []
        self._hidden: list[Object] = []  # those in object streams
        self._values: dict[int, Any] = {}
        self._ends = [found.start() for found in _END.finditer(data)]
        self._tally = Tally()
        self._broken = False
        self._lock: pdfcrypt.Lock | None = None

    def members(self) -> Iterator[Member | Doubt]:
        for number, found in enumerate(objects(self._data, self._tally)):
            self._objects.append(found)
            self._values[found.number] = found.value
            if not number & 0xFF:
                self._meter.budget.check_time()
        if not self._unlock():
            yield Doubt(Cause.ENCRYPTED, "PDF is encrypted")
            return
        if self._lock is not None and self._lock.had_password:
            yield unlocked("PDF", self._lock.by)
        for found in self._objects:
            if found.stream is not None and isinstance(found.value.get("First"), int):
                self._hidden += self._inside(found)
        self._values.update({found.number: found.value for found in self._hidden})
        yield from self._embedded()
        yield from self._active()
        if self._broken:
            yield Doubt(Cause.UNREADABLE, "PDF has a stream that cannot be read")
        if self._tally.doubtful:
            yield Doubt(Cause.UNREADABLE, "PDF has an object that readers do not read alike")

    def _unlock(self) -> bool:
        """False where it is encrypted, and nothing here opens it; else all strings are plain."""
        tops = [found.value for found in self._objects if _is_top(found)]
        locks = [self._resolved(top["Encrypt"]) for top in tops if "Encrypt" in top]
        if not locks:
            return True
        # Where trailers differ, a reader may believe either.
        if any(lock != locks[0] for lock in locks) or len(locks) < len(tops):
            return False
        about = locks[0]
        if isinstance(about, dict):
            about = {key: self._resolved(value) for key, value in about.items()}
        identity = self._resolved(tops[0].get("ID"))
        first = identity[0] if isinstance(identity, list) and identity else b""
        first = first if isinstance(first, bytes) else b""
        self._lock = lock = pdfcrypt.lock(about, first, self._meter)
        if lock is None:
            return False
        for at, found in enumerate(self._objects):
            if found.number < 0:
                continue
            value = lock.value(found.value, found.number, found.generation)
            self._objects[at] = Object(found.number, found.generation, value, found.stream)
            self._values[found.number] = value
            self._meter.budget.check_time()
        return True

    def _embedded(self) -> Iterator[Member]:
        """Streams that are files, scripts or forms, by who points to them or by their content."""
        files, scripts = self._pointers()
        for found in self._objects:
            if found.stream is None:
                continue
            names = files.get(found.number)
            if names is None and found.value.get("Type") == "EmbeddedFile":
                names = [""]
            if names is None and found.number in scripts:
                names = [scripts[found.number]]
            if names is None:
                if not self._is_something(found):
                    continue
                names = [""]
            content = self._content(found)
            for name in names if content is not None else ():
                self._meter.member()
                yield Member(name, content or b"")

    def _pointers(self) -> tuple[dict[int, list[str]], dict[int, str]]:
        """Numbers of the streams that file specifications (7.11.3), scripts and forms point to."""
        files: dict[int, list[str]] = {}
        scripts: dict[int, str] = {}
        for found in (*self._objects, *self._hidden):
            for item in dicts(found.value):
                embedded = self._resolved(item.get("EF"))
                if isinstance(embedded, dict):
                    names = [
                        _text(name) for key in _NAMES if (name := self._resolved(item.get(key)))
                    ]
                    for reference in embedded.values():
                        if isinstance(reference, Reference):
                            known = files.setdefault(self._stream_number(reference), [])
                            known += [name for name in names or [""] if name not in known]
                for key in ("JS", "XFA"):
                    pieces = item.get(key)
                    if isinstance(pieces, Reference) and isinstance(self._resolved(pieces), list):
                        pieces = self._resolved(pieces)
                    for piece in pieces if isinstance(pieces, list) else [pieces]:
                        if isinstance(piece, Reference):
                            number = self._stream_number(piece)
                            scripts[number] = "JavaScript" if key == "JS" else "form"
        return files, scripts

    def _active(self) -> Iterator[Member]:
        """Scripts in strings; and all that acts, where object streams hide some of it."""
        acting = [found for found in (*self._objects, *self._hidden) if _acts(found.value)]
        for found in acting:
            for item in dicts(found.value):
                script = self._resolved(item.get("JS"))
                if isinstance(script, bytes) and script:
                    self._meter.member()
                    self._meter.take(len(script))
                    yield Member("JavaScript", _text(script).encode())
        if any(_acts(found.value) for found in self._hidden):
            plain = b"%PDF-1.7\n" + b"\n".join(written(found.value) for found in acting)
            self._meter.member()
            self._meter.take(len(plain))
            yield Member("actions", plain)

    def _inside(self, found: Object) -> Iterator[Object]:
        """The objects in an object stream (7.5.7)."""
        content = self._content(found)
        first = found.value["First"]
        if content is None:
            return
        numbers = [
            int(word) for word in content[:first].split() if word.isdigit() and len(word) < 11
        ]
        offsets = sorted(set(numbers[1::2]))
        following = {one: first + two for one, two in itertools.pairwise(offsets)}
        for number, offset in zip(numbers[::2], numbers[1::2], strict=False):
            start = first + offset
            if not self._tally.passes_over(content, start, following.get(offset, len(content))):
                value, end = value_at(content, start, self._tally)
                self._meter.budget.take_bytes(max(0, end - start))
                yield Object(number, 0, value)

    def _is_something(self, found: Object) -> bool:
        start = found.stream or 0
        head = self._plain(found, start, start + _TRIED)
        shown = pdffilters.decoded(head, self._about(found), Meter(self._meter.budget, 1 << 20))
        return shown is not None and sniff(shown[0]) in _WORTHY

    def _content(self, found: Object) -> bytes | None:
        """A stream through all its filters, None where one is not ours; a break is noted."""
        start = found.stream or 0
        at = bisect.bisect_left(self._ends, start)
        stop = self._ends[at] if at < len(self._ends) else len(self._data)
        length = self._resolved(found.value.get("Length"))
        if (
            isinstance(length, int)
            and length >= 0
            and _END.match(self._data[start + length : start + length + _BLANKS].lstrip())
        ):
            stop = start + length
        packed = self._plain(found, start, stop)
        made = pdffilters.decoded(packed, self._about(found), self._meter)
        self._broken |= made is None or not made[1]
        return None if made is None else made[0]

    def _plain(self, found: Object, start: int, stop: int) -> bytes:
        """A stream's bytes, decrypted where they are encrypted."""
        packed = self._data[start:stop]
        if self._lock is None or found.value.get("Type") == "XRef":
            return packed
        return self._lock.stream(packed, found.number, found.generation)

    def _about(self, found: Object) -> dict[str, Any]:
        """What the filters need to know, with references followed."""
        keys = ("Filter", "DecodeParms", "DP", "F")
        about = {key: self._followed(found.value[key]) for key in keys if key in found.value}
        # Of a stream in the file itself "F" is no file, and for pdf.js short for "Filter".
        if (short := about.pop("F", None)) is not None and _has_names(short):
            both = "Filter" in about and about["Filter"] != short
            about["Filter"] = Name("of two kinds") if both else short
        return about

    def _followed(self, value: Any, deep: int = 3) -> Any:
        """A value with the references in it followed, as deep as filters have any."""
        value = self._resolved(value)
        if deep and isinstance(value, list):
            return [self._followed(item, deep - 1) for item in value]
        if deep and isinstance(value, dict):
            return {key: self._followed(item, deep - 1) for key, item in value.items()}
        return value

    def _resolved(self, value: Any) -> Any:
        """What a reference leads to, be it by way of others."""
        for _ in range(_STEPS):
            if not isinstance(value, Reference):
                return value
            value = self._values.get(value.number)
        return None

    def _stream_number(self, reference: Reference) -> int:
        """The number of the object that a reference leads to in the end."""
        for _ in range(_STEPS):
            following = self._values.get(reference.number)
            if not isinstance(following, Reference):
                break
            reference = following
        return reference.number


def _has_names(value: Any) -> bool:
    return isinstance(value, Name) or (
        isinstance(value, list) and any(isinstance(item, Name) for item in value)
    )


def _is_top(found: Object) -> bool:
    """Whether this is a trailer, in either form (7.5.5, 7.5.8)."""
    if not isinstance(found.value, dict):
        return False
    return "Root" in found.value and (found.number < 0 or found.value.get("Type") == "XRef")


def _acts(value: Any) -> bool:
    """Whether a value does something, or says how."""
    for item in dicts(value):
        if not _ACTIVE.isdisjoint(item) or any(
            isinstance(word, Name) and word in _ACTIVE for word in item.values()
        ):
            return True
    return False


def _text(value: Any) -> str:
    """A text string (7.9.2.2)."""
    if not isinstance(value, bytes):
        return ""
    if value.startswith((codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE)):
        return value.decode("utf-16", "replace")
    if value.startswith(codecs.BOM_UTF8):
        return value.decode("utf-8-sig", "replace")
    return value.decode("latin-1")
