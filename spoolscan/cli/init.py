"""``spoolscan init``: lay out a spool."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from spoolscan import config, share
from spoolscan.errors import ConfigError, TemporaryFailure
from spoolscan.forwarder import routes


@click.command(short_help="Lay out a spool in DIR.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--domain", "domains", multiple=True, metavar="NAME", help="A domain of the site.")
@click.option("--network", "networks", multiple=True, metavar="CIDR", help="Our own network.")
@click.option("--admin", metavar="ADDRESS", help="Who gets the notices.")
@click.option("--listen", "listen", multiple=True, metavar="HOST:PORT", help="Where mail comes in.")
@click.option("--next-hop", metavar="URL", help="smtp://HOST:PORT, lmtp://... or maildir:/PATH.")
def init(  # noqa: PLR0917 - click calls it by keyword
    directory: Path,
    domains: Sequence[str],
    networks: Sequence[str],
    admin: str | None,
    listen: Sequence[str],
    next_hop: str | None,
) -> None:
    """Lay out a spool in DIR: directories, settings, patterns, scripts.

    Nothing that is there already is overwritten.  --domain, --network and --listen may be repeated.
    """
    root = directory.absolute()
    settings: dict[str, object] = {
        "domains": list(domains) or [socket.gethostname()],
        "networks": list(networks) or ["127.0.0.0/8", "::1/128"],
        "admin": admin,
        "listen": list(listen) or ["127.0.0.1:2525"],
        "next_hop": next_hop or f"maildir:{root / 'maildir'}",
    }
    done = lay_out(root, settings)
    _sync(root)
    for line in done:
        click.echo(line)


def lay_out(root: Path, settings: Mapping[str, object]) -> list[str]:
    """Create everything; returns what was done, for the reader.

    Raises ConfigError where something is in the way or a value is not allowed, before anything is
    written; TemporaryFailure where a system call fails.
    """
    text = fill_in((share.folder("etc") / "spoolscan.toml").read_text("utf-8"), settings)
    read = config.read(text, root / config.FILE)
    routes.make(read.next_hop, read.site.hostname, read.forwarder)
    try:
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            what = "not empty" if root.is_dir() else "not a directory"
            raise ConfigError(f"{root}: {what}; name a new directory, nothing is overwritten")
        with _owner_only():
            shutil.copytree(share.folder("var-skeleton"), root, dirs_exist_ok=True)
            shutil.copytree(share.folder("etc"), root / "etc")
            (root / config.FILE).write_text(text, "utf-8")
            _install_scripts(share.folder("bin"), root / "bin")
        for path in (root, *root.rglob("*")):
            path.chmod(0o700 if path.is_dir() or path.parent == root / "bin" else 0o600)
    except shutil.Error as error:  # (from, to, reason) of each file that could not be copied
        _, place, reason = error.args[0][0]
        raise TemporaryFailure(f"laying out {place}: {reason}; {_again(root)}") from error
    except OSError as error:
        failure = TemporaryFailure.from_os(error, f"laying out {error.filename or root}")
        raise TemporaryFailure(f"{failure}; {_again(root)}", failure.errno) from error
    return [
        f"{root}: a spool for {', '.join(_list(settings['domains']))}",
        f"  mail comes in at   {', '.join(_list(settings['listen']))}",
        f"  mail goes out to   {settings['next_hop']}",
        f"  settings           {root / config.FILE}",
        f"  try it             spoolscan --spool {root} check",
        f"  start it           spoolscan --spool {root} run",
    ]


def _sync(root: Path) -> None:
    """All of it is on the disk when this returns, and its name.  Raises TemporaryFailure."""
    for path in (*root.rglob("*"), root, root.parent):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise TemporaryFailure.from_os(error, f"syncing {path}") from error


@contextmanager
def _owner_only() -> Iterator[None]:
    """What is made meanwhile is nobody else's."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _again(root: Path) -> str:
    return f"put that right, remove {root} if it is there, and call init again"


def _list(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def fill_in(text: str, settings: Mapping[str, object]) -> str:
    """Put values into the commented settings file: ``#key = default`` becomes ``key = value``.

    None leaves a line as it is.
    """
    for key, value in settings.items():
        if value is None:
            continue
        line = f"{key} = {_toml(value)}"
        text, count = re.subn(rf"(?m)^#?{key} = .*$", _constant(line), text, count=1)
        if count != 1:
            raise ConfigError(f"{config.FILE}: no line for {key}")
    return text


def _constant(text: str) -> Callable[[re.Match[str]], str]:
    """A replacement in which no backslash means anything."""
    return lambda _: text


def _toml(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    if not escaped.isprintable():
        raise ConfigError(f"{value!r}: not printable; give a plain value")
    return f'"{escaped}"'


def _install_scripts(source: Path, target: Path) -> None:
    """Copy the scripts with a first line that names the Python that has spoolscan."""
    target.mkdir()
    for script in sorted(source.iterdir()):
        _, _, rest = script.read_text("utf-8").partition("\n")
        (target / script.name).write_text(f"#!{sys.executable}\n{rest}", "utf-8")
