"""A new file of signatures, tried beside all the others before it counts.

It must compile, the whole set must still find EICAR, and it must find nothing in what is harmless:
a set that finds nothing lets all in, one that finds everything keeps all out.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path

from spoolscan.config import YaraSettings
from spoolscan.errors import ConfigError, Corrupt, TemporaryFailure
from spoolscan.scanner.engines import Sample
from spoolscan.scanner.engines.proof import prove
from spoolscan.scanner.engines.yara import Yara


def try_out(data: bytes, target: Path, engine: YaraSettings, scratch: Path) -> str:
    """What the whole set is with it, in words.

    ``target`` is where it would lie.  Raises Corrupt where it must not count, TemporaryFailure.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="signatures-", dir=scratch) as folder:
            for file in target.parent.iterdir():
                if file.is_file() and file.name != target.name:
                    shutil.copy(file, folder)
            Path(folder, target.name).write_bytes(data)
            return _try(folder, str(target.parent), engine)
    except OSError as error:
        raise TemporaryFailure.from_os(error, f"trying {target.name} in {scratch}") from error


def _try(folder: str, real: str, settings: YaraSettings) -> str:
    try:
        engine = Yara(settings.model_copy(update={"rules": Path(folder)}), lambda _: None)
    except ConfigError as error:
        raise Corrupt(f"it does not load: {str(error).replace(folder, real)}") from error
    try:
        prove(engine)
        findings = engine.scan(harmless())
    except TemporaryFailure as error:
        raise Corrupt(f"with it the set is not in its right mind: {error}") from error
    if findings:
        raise Corrupt(f"it finds {findings[0].name} in {findings[0].path[0]}, which is harmless")
    return engine.awake().replace(folder, real)


def harmless() -> list[Sample]:
    """What no signature may fit, each as a mail might have it."""
    letter = b"Dear Bob,\r\n\r\nthe figures for May are below. See you on Monday.\r\n\r\nAlice\r\n"
    page = b"<!DOCTYPE html><html><head><title>News</title></head><body><p>Hi</p></body></html>\n"
    document = (
        b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n"
        b"2 0 obj\n<< /Type /Pages /Kids [] /Count 0 >>\nendobj\n"
        b"trailer\n<< /Root 1 0 R >>\n%%EOF\n"
    )
    picture = b"\x89PNG\r\n\x1a\n" + bytes(8) + zlib.compress(bytes(64))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("letter.txt"), letter)
    message = b"From: <a@example.com>\r\nSubject: May\r\n\r\n" + letter
    kinds = {
        "nothing at all": b"",
        "a letter": letter,
        "a message": message,
        "a web page": page,
        "a document": document,
        "a picture": picture,
        "an archive": packed.getvalue(),
        "a table": b"name;amount\r\nalice;12\r\nbob;7\r\n" * 50,
    }
    return [Sample((kind,), data) for kind, data in kinds.items()]
