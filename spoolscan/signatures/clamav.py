"""ClamAV's own signatures: freshclam(1) run, clamd told, and the age of what clamd has in hand.

How new they are is asked of each clamd by itself (VERSION), never of files: a clamd that has not
read them yet is as old as what it knows.  How new they could be stands in a TXT record of ClamAV's,
``ENGINE:MAIN:DAILY:TIME:...``; without an answer that is not known, and is no trouble.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import dns.exception
import dns.nameserver
import dns.resolver

from spoolscan.config import ClamdSettings, Config, host_port
from spoolscan.errors import TemporaryFailure
from spoolscan.log import safe
from spoolscan.scanner.engines.clamd import Address, connected, parse_address
from spoolscan.signatures.known import Known

_PATIENCE: Final = 10.0  # seconds for clamd and for the DNS
_LONGEST: Final = 1024
_VERSION: Final = re.compile(r"ClamAV [^/]+/(\d{1,9})/(\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4})")
_RECORD: Final = re.compile(r"[\d.]+:\d+:(\d{1,9}):\d+:.*")


def sources(settings: Config) -> list[tuple[str, Callable[[Known, float], Known]]]:
    """freshclam, where it is set up; then each address of each clamd."""
    found: list[tuple[str, Callable[[Known, float], Known]]] = []
    if settings.signatures.freshclam:
        found.append(("freshclam", lambda old, now: _freshclam(settings, old, now)))
    for engine in settings.engines():
        if isinstance(engine, ClamdSettings):
            texts = (engine.address,) if isinstance(engine.address, str) else engine.address
            for text in texts:
                address = parse_address(engine, text)

                def ask(old: Known, now: float, where: Address = address) -> Known:
                    return _clamd(settings, where, old, now)

                found.append((f"{engine.name} at {text}", ask))
    return found


def _freshclam(settings: Config, old: Known, now: float) -> Known:
    """Raises TemporaryFailure with its last words."""
    argv = settings.signatures.freshclam
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=settings.signatures.timeout, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise TemporaryFailure(f"freshclam: {error}") from error
    last = done.stdout.decode("utf-8", "replace").strip().rpartition("\n")[2]
    if done.returncode != 0:
        raise TemporaryFailure(f"freshclam: exit status {done.returncode}: {safe(last)}")
    return replace(old, checked=now, changed=0.0, words=safe(last), trouble="")


def _clamd(settings: Config, address: Address, old: Known, now: float) -> Known:
    """Raises TemporaryFailure where it does not answer."""
    if settings.signatures.reload and (said := _say(address, b"RELOAD")) != "RELOADING":
        raise TemporaryFailure(f"clamd says {safe(said)!r} to RELOAD")
    found = _VERSION.fullmatch(version := _say(address, b"VERSION"))
    if found is None:
        words = f"{safe(version)}: it does not say how new its signatures are"
        return replace(old, checked=now, changed=0.0, words=words, trouble="")
    serial = int(found[1])
    # ctime(3) of clamd's own zone, which is nearly always ours.
    made = datetime.strptime(found[2], "%a %b %d %H:%M:%S %Y").astimezone().timestamp()
    newest = _newest(settings)
    behind = "" if newest is None else f", {max(0, newest - serial)} behind ClamAV"
    words = f"daily {serial}{behind or ', ClamAV says nothing of newer ones'}"
    trouble = ""
    limit = settings.signatures.old
    if limit and now - made > limit and (newest is None or newest > serial):
        day = f"{datetime.fromtimestamp(made, UTC):%Y-%m-%d}"
        trouble = f"its signatures are of {day}{behind}; does freshclam run?"
    return Known(serial, made, now, words, trouble, old.told)


def _newest(settings: Config) -> int | None:
    """The number of ClamAV's newest daily.cvd; None where nobody answers."""
    if not settings.signatures.record:
        return None
    resolver = dns.resolver.Resolver(configure=not settings.dnsbl.servers)
    try:
        if settings.dnsbl.servers:
            places = map(host_port, settings.dnsbl.servers)
            resolver.nameservers = [dns.nameserver.Do53Nameserver(*place) for place in places]
        answer = resolver.resolve(f"{settings.signatures.record}.", "TXT", lifetime=_PATIENCE)
        for record in answer:
            text = b"".join(record.strings).decode("ascii", "replace")
            if found := _RECORD.fullmatch(text):
                return int(found[1])
    except (dns.exception.DNSException, OSError):
        pass
    return None


def _say(address: Address, command: bytes) -> str:
    """One command and its answer.  Raises TemporaryFailure."""
    try:
        with connected(address, _PATIENCE) as connection:
            connection.sendall(b"z" + command + b"\0")
            answer = b""
            while not answer.endswith(b"\0") and len(answer) < _LONGEST:
                piece = connection.recv(_LONGEST)
                if not piece:
                    break
                answer += piece
    except OSError as error:
        raise TemporaryFailure(f"clamd does not answer: {error}") from error
    return answer.rstrip(b"\0\n").decode("ascii", "replace")
