"""etc/spoolscan.toml -> a frozen Config.

Every setting has its default here and its explanation in etc/spoolscan.toml; a test holds the two
together.  `load` reports everything that is wrong at once, each line with file, key, value and
what is allowed, as one ConfigError.  Nothing here opens a socket or looks a name up.

Durations and sizes are as in `units`; relative paths start at the spool.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import socket
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from spoolscan import share
from spoolscan.errors import ConfigError
from spoolscan.forwarder.schedule import Retries
from spoolscan.scanner.bounds import Bounds
from spoolscan.units import Count, Duration, Size

FILE: Final = "etc/spoolscan.toml"

# pydantic speaks to programmers; this is for administrators.
_ALLOWED: Final = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dataclass_type": "a table",
    "finite_number": "a finite number",
    "float_type": "a number",
    "frozen_set_type": "a list",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "less_than_equal": "at most {le:g}",
    "literal_error": "{expected}",
    "model_type": "a table",
    "path_type": "a path in quotes",
    "string_type": "words in quotes",
    "tuple_type": "a list",
    "union_tag_invalid": "a kind of {expected_tags}",
    "union_tag_not_found": 'a kind, such as kind = "yara"',
}
_DOMAIN: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?:\.(?!-)[a-z0-9-]{1,63})*", re.IGNORECASE)


def _domain(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        name = value.strip().rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise ValueError("allowed: a domain name such as example.com") from error
    if not _DOMAIN.fullmatch(name):
        raise ValueError("allowed: a domain name such as example.com")
    return name


def _network(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return str(ipaddress.ip_network(value.strip()))
    except ValueError as error:
        raise ValueError(f"allowed: address/bits such as 192.0.2.0/24 or ::1 ({error})") from error


def _mailbox(value: object) -> object:
    if isinstance(value, str) and value and not re.fullmatch(r"[!-?A-~]+@[!-?A-~]+", value):
        raise ValueError("allowed: an address such as postmaster@example.com")
    return value


def host_port(value: str) -> tuple[str, int]:
    """Split ``HOST:PORT`` or ``[V6]:PORT``.  Raises ValueError."""
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]\s]+)):(\d{1,5})", value)
    if found is None or not 0 <= int(found[3]) <= 65535:
        raise ValueError("allowed: HOST:PORT such as 127.0.0.1:2525 or [::1]:25")
    return found[1] or found[2], int(found[3])


def _listen(value: object) -> object:
    if isinstance(value, str):
        host_port(value)
    return value


Domain = Annotated[str, BeforeValidator(_domain)]
Network = Annotated[str, BeforeValidator(_network)]
Mailbox = Annotated[str, BeforeValidator(_mailbox)]
Listen = Annotated[str, BeforeValidator(_listen)]
Policy = Literal["hold", "quarantine", "pass"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Site(_Section):
    """Who we are."""

    hostname: Domain = Field(default_factory=socket.gethostname)
    domains: tuple[Domain, ...] = Field(default_factory=lambda: (socket.gethostname().lower(),))
    networks: tuple[Network, ...] = ("127.0.0.0/8", "::1/128")
    admin: Mailbox = ""

    @property
    def administrator(self) -> str:
        """Where notices go: ``admin``, or postmaster of the first domain."""
        return self.admin or f"postmaster@{self.domains[0] if self.domains else self.hostname}"

    def is_ours(self, address: str) -> bool:
        """Whether a mailbox is of one of the site's domains."""
        _, at, domain = address.rpartition("@")
        return bool(at) and domain.lower().rstrip(".") in self.domains


class Receiver(_Section):
    """How mail comes in."""

    listen: tuple[Listen, ...] = ("127.0.0.1:2525",)
    banner: str = "{hostname} ESMTP spoolscan"
    max_size: Size = 52_428_800
    recipients: Count = 1000
    errors: Count = 20
    idle_commands: Count = 100
    hops: Count = 50
    bare_lf: Literal["refuse", "normalise"] = "refuse"
    bare_lf_own: Literal["refuse", "normalise"] = "normalise"
    command_timeout: Duration = 300.0
    data_timeout: Duration = 180.0
    connections: Count = 1000
    connections_per_address: Count = 50
    reverse_lookup: bool = True
    reverse_timeout: Duration = 3.0
    threads: Count = 16
    probe_interval: Duration = 5.0

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """``listen`` as (host, port)."""
        return tuple(host_port(place) for place in self.listen)


class Scanner(_Section):
    """How messages are judged, and what becomes of those that cannot be."""

    workers: int = Field(default=0, ge=0, le=256, strict=True)
    scan: Literal["suspicious", "all"] = "suspicious"
    attempts: Count = 3
    timeout: Duration = 300.0
    retry: Duration = 10.0
    give_up: Duration = 5 * 86400.0
    limit: Literal["hold", "quarantine"] = "hold"
    unreadable: Policy = "hold"
    encrypted: Policy = "hold"
    sealed: Literal["note", "hold", "quarantine"] = "note"
    deceptive: Policy = "hold"
    ambiguous: Literal["note", "hold", "quarantine"] = "note"


class YaraSettings(_Section):
    """The embedded engine: rules of a directory."""

    kind: Literal["yara"] = "yara"
    name: str = "yara"
    rules: Path = Path("etc/rules")
    timeout: Duration = 30.0


class ClamdSettings(_Section):
    """ClamAV's daemon."""

    kind: Literal["clamd"] = "clamd"
    name: str = "clamd"
    address: str = "unix:/run/clamav/clamd.ctl"
    method: Literal["auto", "fildes", "instream"] = "auto"
    timeout: Duration = 60.0
    max_bytes: Size = 26_214_400


class CommandSettings(_Section):
    """Any scanner with a command line."""

    kind: Literal["command"] = "command"
    name: str = "command"
    argv: tuple[str, ...]
    clean: frozenset[int] = frozenset({0})
    infected: frozenset[int] = frozenset({1})
    pattern: str = r": (.+) FOUND$"
    timeout: Duration = 60.0
    version: tuple[str, ...] = ()
    scratch: Path = Path("var")


Engine = Annotated[YaraSettings | ClamdSettings | CommandSettings, Field(discriminator="kind")]


class Timeouts(_Section):
    """How long a next hop may take (RFC 5321 section 4.5.3.2, but for the first)."""

    connect: Duration = 30.0
    greeting: Duration = 300.0
    command: Duration = 300.0
    block: Duration = 180.0
    answer: Duration = 600.0


class Forwarder(_Section):
    """How mail goes out."""

    next_hop: str = "maildir:maildir"
    mark: bool = True
    concurrency: Count = 10
    pause: Annotated[Duration, Field(gt=0)] = 5.0
    longest_pause: Duration = 300.0
    idle: Duration = 5.0
    messages: Count = 100
    recipients: Count = 100
    grace: Duration = 30.0
    retries: Retries = Retries()
    timeouts: Timeouts = Timeouts()


class Notices(_Section):
    """Which notices are sent."""

    administrator: bool = True
    sender: bool = False
    trouble: Duration = 30.0


class Config(_Section):
    """All settings of one spool."""

    root: Path = Field(exclude=True)
    site: Site = Site()
    receiver: Receiver = Receiver()
    scanner: Scanner = Scanner()
    bounds: Bounds = Bounds()
    engine: tuple[Engine, ...] = (YaraSettings(),)
    forwarder: Forwarder = Forwarder()
    notices: Notices = Notices()

    def path(self, name: str | Path) -> Path:
        """A path of the settings; relative ones start at the spool."""
        return self.root / name

    @property
    def next_hop(self) -> str:
        """``forwarder.next_hop``, a maildir's path made absolute."""
        scheme, colon, rest = self.forwarder.next_hop.partition(":")
        return f"{scheme}:{self.path(rest)}" if scheme == "maildir" else scheme + colon + rest

    def template_folders(self) -> tuple[Path, Path]:
        """The site's templates, then ours."""
        return self.path("etc/templates"), share.folder("etc") / "templates"

    def engines(self) -> list[YaraSettings | ClamdSettings | CommandSettings]:
        """The engines' settings, with the paths in them made absolute."""
        return [
            settings.model_copy(
                update={name: self.path(it) for name, it in settings if isinstance(it, Path)}
            )
            for settings in self.engine
        ]

    def worker_count(self) -> int:
        """``scanner.workers``; 0 is one a processor, and at least two."""
        return self.scanner.workers or max(2, os.cpu_count() or 1)


def load(root: Path | str) -> Config:
    """Read a spool's settings.  Raises ConfigError with all that is wrong."""
    path = Path(root).absolute() / FILE
    try:
        return read(path.read_bytes().decode("utf-8-sig"), path)
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}; `spoolscan init DIR` lays out a spool, --spool names one"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8: {error}") from error


def read(text: str, path: Path) -> Config:
    """Settings from TOML; ``path`` is where it stands or will stand.  Raises ConfigError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    if "root" in data:
        raise ConfigError(f"{path}: root: unknown setting; --spool names the spool")
    try:
        return Config(**data, root=path.parent.parent)
    except ValidationError as error:
        lines = [_line(path, item) for item in error.errors(include_url=False)]
        raise ConfigError("\n".join(lines)) from error


def _line(path: Path, item: ErrorDetails) -> str:
    """One mistake: file, key, value, what is allowed."""
    where = item["loc"]
    steps = [  # what follows a number is the kind of an engine, not a key
        step
        for before, step in zip(("", *where), where, strict=False)
        if not isinstance(before, int)
    ]
    key = "".join(f"[{step + 1}]" if isinstance(step, int) else f".{step}" for step in steps)
    if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        what = "unknown setting" + _nearest(where)
    elif item["type"] == "missing":
        what = "missing; it has no default"
    else:
        allowed = _ALLOWED.get(item["type"])
        words = f"allowed: {allowed.format(**item.get('ctx', {}))}" if allowed else item["msg"]
        what = f"{words.removeprefix('Value error, ')}; found {_shown(item['input'])}"
    shown = key.lstrip(".").encode("unicode_escape").decode("ascii")
    return f"{path}: {shown}: {what}"


def _nearest(where: tuple[int | str, ...]) -> str:
    """What stands there instead: "; did you mean X?", or all that is allowed."""
    place: Any = Config
    for step in where[:-1]:
        place = _inside(place, step)
    fields = sorted(_fields(place) - {"root"})
    close = difflib.get_close_matches(str(where[-1]), fields, 1)
    return f"; did you mean {close[0]}?" if close else f"; allowed: {', '.join(fields)}"


def _fields(model: Any) -> set[str]:
    fields = getattr(model, "model_fields", None) or getattr(model, "__dataclass_fields__", {})
    return {name for name in fields if not name.startswith("_")}


def _inside(model: Any, step: int | str) -> Any:
    """The model under one step of an error's place."""
    kinds = {"yara": YaraSettings, "clamd": ClamdSettings, "command": CommandSettings}
    if step in kinds:
        return kinds[str(step)]
    field = getattr(model, "model_fields", {}).get(step)
    return model if field is None else field.annotation


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
