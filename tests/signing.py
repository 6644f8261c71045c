"""A source of signatures, what minisign would sign it with, and the spool whose job asks it."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from spoolscan import cli, config
from spoolscan.jobs import runner, signatures
from spoolscan.scanner.engines import Sample, build
from spoolscan.spool import Spool

NOW = 1_795_000_000.0
SECRET = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
NUMBER = b"8 digits"
KEY = base64.b64encode(b"Ed" + NUMBER + SECRET.public_key().public_bytes_raw()).decode()


def rules(word: str, serial: int | None) -> bytes:
    head = f"// serial: {serial}\n" if serial is not None else ""
    return f'{head}rule found {{ strings: $a = "{word}" condition: $a }}\n'.encode()


def minisig(
    data: bytes, at: int = 0, secret: Ed25519PrivateKey = SECRET, way: bytes = b"ED"
) -> bytes:
    """As `minisign -S` writes it."""
    own = secret.sign(hashlib.blake2b(data).digest() if way == b"ED" else data)
    comment = f"timestamp:{at}\tfile:x"
    whole = base64.b64encode(secret.sign(own + comment.encode())).decode()
    text = base64.b64encode(way + NUMBER + own).decode()
    return f"untrusted comment: x\n{text}\ntrusted comment: {comment}\n{whole}\n".encode()


class Site:
    """A spool, a source, and what its job says."""

    def __init__(self, root: Path, published: Path) -> None:
        self.root = root
        self.published = published
        self.spool = Spool(root)
        self.target = root / "etc" / "rules" / "fetched-partner.yar"

    def use(self, signed_by: str = f"minisign:{KEY}", url: str = "", more: str = "") -> None:
        """One source, and ``more`` lines of settings."""
        text = (self.root / config.FILE).read_text()
        head = text.partition("#--test--")[0]
        url = url or f"file:{self.published}"
        source = (
            f'[[signatures.source]]\nname = "partner"\nurl = "{url}"\nsigned_by = "{signed_by}"\n'
        )
        (self.root / config.FILE).write_text(f"{head}#--test--\n{source}{more}")

    def publish(self, data: bytes, signature: bytes | None = None) -> None:
        self.published.write_bytes(data)
        self.sign(minisig(data) if signature is None else signature)

    def sign(self, signature: bytes, suffix: str = ".minisig") -> None:
        self.published.with_name(self.published.name + suffix).write_bytes(signature)

    def update(self, now: float = NOW) -> str:
        when = datetime.fromtimestamp(now, UTC)
        return runner.run("signatures", signatures.run, config.load(self.root), self.spool, when)

    def notices(self) -> list[str]:
        found = []
        for entry in self.spool.entries("outgoing"):
            with self.spool.open("outgoing", entry.queue_id) as message:
                found.append(message.read().decode())
        return found

    def finds(self, data: bytes) -> list[str]:
        """What the engine of this spool says of it."""
        [engine] = build(config.load(self.root).engines())
        return [finding.name for finding in engine.scan([Sample(("1",), data)])]


def laid_out(folder: Path) -> Site:
    """With one source, of which nothing is published yet."""
    assert cli.main(["init", str(folder / "spool"), "--domain", "example.com"]) == 0
    site = Site(folder / "spool", folder / "partner.yar")
    site.use()
    return site
