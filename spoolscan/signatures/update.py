"""One source after the other: fetched, proven, newer, tried, put in force.

Whatever is wrong with one leaves its old file in force and is its trouble, in words; the others go
on.  What counts as its version is the number behind ``serial:`` in a comment of its first lines,
else the time at which it was signed; a version lower than one that was in force is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from spoolscan.config import Config, Source, YaraSettings
from spoolscan.errors import ConfigError, Corrupt, SpoolscanError, TemporaryFailure
from spoolscan.signatures import authentic, clamav, known
from spoolscan.signatures.fetch import fetch
from spoolscan.signatures.known import Known
from spoolscan.signatures.trial import try_out
from spoolscan.spool import Spool

_SERIAL: Final = re.compile(rb"(?m)^[ \t]*(?://|#|\*)[ \t]*serial[ \t]*[:=][ \t]*(\d{1,18})\b")
_HEAD: Final = 4096  # bytes in which the serial stands
_TELL_AGAIN: Final = 86_400.0  # seconds
_SUFFIXES: Final = {"yara": ".yar", "hashes": ".sha256"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one source: whether there is something new in force, what, and the trouble."""

    name: str
    is_new: bool
    words: str
    trouble: str
    is_news: bool  # to whoever reads our mail


def update(settings: Config, spool: Spool, now: float) -> list[Outcome]:
    """Ask every source, and ClamAV.  Raises TemporaryFailure where nothing can be written down."""
    before = known.read(spool)
    ours = {source.name for source in settings.signatures.source}  # ClamAV has new ones every day
    after: dict[str, Known] = {}
    outcomes = []
    for name, ask in _all(settings, spool):
        old = before.get(name, Known())
        new = _asked(ask, old, now)
        trouble = new.trouble
        again = trouble and (trouble != old.trouble or now - old.told >= _TELL_AGAIN)
        is_new = new.changed != old.changed
        after[name] = replace(new, told=now if again else old.told if trouble else 0.0)
        known.write(spool, {**before, **after})
        is_back = bool(old.told and not trouble)
        is_news = bool(again or is_back or (is_new and name in ours))
        outcomes.append(Outcome(name, is_new, new.words, trouble, is_news))
    known.write(spool, after)
    return outcomes


_Ask = Callable[[Known, float], Known]


def _all(settings: Config, spool: Spool) -> list[tuple[str, _Ask]]:
    found: list[tuple[str, _Ask]] = clamav.sources(settings)
    for source in settings.signatures.source:

        def ask(old: Known, now: float, source: Source = source) -> Known:
            return _update_one(source, settings, spool, old, now)

        found.append((source.name, ask))
    return found


def _asked(ask: _Ask, old: Known, now: float) -> Known:
    try:
        return ask(old, now)
    except SpoolscanError as error:
        return replace(old, trouble=str(error))


def place(source: Source, settings: Config) -> tuple[Path, YaraSettings]:
    """Where its file lies, and the engine that reads it.  Raises ConfigError."""
    for engine in settings.engines():
        if isinstance(engine, YaraSettings):
            return engine.rules / f"fetched-{source.name}{_SUFFIXES[source.format]}", engine
    raise ConfigError('signatures need an [[engine]] of kind = "yara", which reads them')


def _update_one(source: Source, settings: Config, spool: Spool, old: Known, now: float) -> Known:
    """Raises Corrupt, ConfigError, TemporaryFailure: then nothing has changed."""
    asked = settings.signatures
    target, engine = place(source, settings)
    data = fetch(source.url, asked.max_size, asked.timeout)
    where = source.signature or source.url + authentic.suffix(source.signed_by)
    signature = fetch(where, authentic.LARGEST, asked.timeout)
    signed = authentic.verify(data, signature, source.signed_by, settings.root)
    serial = _serial(data, signed)
    there = _content(target)
    if serial < old.serial:
        raise Corrupt(f"its version {serial} is older than {old.serial}, which was in force")
    if there is not None and (serial == old.serial or there == data):
        since = old.changed or now
        return _same(replace(old, serial=serial, changed=since, checked=now), source, now)
    words = try_out(data, target, engine, settings.path("var"))
    if there is not None:
        spool.install(f"{target}.last", there)
    spool.install(str(target), data)
    return Known(serial=serial, changed=now, checked=now, words=f"version {serial}; {words}")


def _same(same: Known, source: Source, now: float) -> Known:
    """Nothing new; which is trouble of its own where it lasts."""
    trouble = ""
    if source.old and now - same.changed > source.old:
        since = datetime.fromtimestamp(same.changed, UTC)
        trouble = f"nothing new since {since:%Y-%m-%d}; is {source.url} still cared for?"
    return replace(same, trouble=trouble)


def _serial(data: bytes, signed: int | None) -> int:
    found = _SERIAL.search(data[:_HEAD])
    if found:
        return int(found[1])
    if signed is None:
        raise Corrupt(
            "it does not say how new it is: a comment `serial: NUMBER` in its first lines does, or"
            " a signature with its time"
        )
    return signed


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TemporaryFailure.from_os(error, f"reading {path}") from error


def roll_back(settings: Config, spool: Spool, name: str) -> str:
    """Change places with the file before; a second time, back.  Raises ConfigError and others.

    The version that was in force does not come again; the next one does.
    """
    sources = {source.name: source for source in settings.signatures.source}
    if name not in sources:
        raise ConfigError(f"no source {name}; there are: {', '.join(sources) or 'none'}")
    target, engine = place(sources[name], settings)
    last, there = _content(Path(f"{target}.last")), _content(target)
    if last is None:
        raise ConfigError(f"{target}.last: not there; nothing was replaced yet")
    words = try_out(last, target, engine, settings.path("var"))
    spool.install(str(target), last)
    if there is not None:
        spool.install(f"{target}.last", there)
    return f"{name}: the one before is in force; {words}"


def ages(settings: Config, spool: Spool, now: float) -> list[tuple[str, str]]:
    """Name and words for each that is set up, by what is known; nobody is asked."""
    found = known.read(spool)
    return [(name, _told(found.get(name, Known()), now)) for name, _ in _all(settings, spool)]


def _told(one: Known, now: float) -> str:
    if not one.checked and not one.trouble:
        return "not asked yet"
    age = f"{(now - one.changed) / 86_400:.1f} days old" if one.changed else "of no known age"
    return f"{age}; {one.trouble}" if one.trouble else age
