"""etc/spoolscan.toml documents every setting with its default, and none that does not exist.

The file's form: prose lines begin with ``# ``; a line that begins with ``#`` and no space is a
setting, or a table, that shows its default and may have its ``#`` taken away.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from spoolscan import config, share
from spoolscan.config import Config

FILE = share.folder("etc") / "spoolscan.toml"
REPEATED = {
    "dnsbl.zone",
    "signatures.source",
}  # tables of one kind that may stand there several times
LACKING = {  # for what has no default
    "argv": '["x"]',
    "name": '"bl.example.org"',
    "url": '"file:/x"',
    "signed_by": '"nobody"',
}
NO_SETTINGS = {"root", "kind"}  # where the file lies; which engine a table is of
_TABLE = re.compile(r"#?(\[+)([a-z_.]+)\]+")
_SETTING = re.compile(r"#?([a-z_]+) = (.+)")
_FOUND_OUT = object()
_REQUIRED = object()


@dataclass(frozen=True)
class Setting:
    """One that exists."""

    place: str  # "receiver.hops", "engine yara.rules"
    default: Any  # _FOUND_OUT where it is, _REQUIRED where there is none


@dataclass(frozen=True)
class Shown:
    """One that the file shows."""

    place: str
    value: str
    prose: str  # the comment above


def _models(annotation: Any) -> Iterator[type]:
    """All models in a type, as tuple[A | B, ...]."""
    if isinstance(annotation, type) and (
        issubclass(annotation, BaseModel) or dataclasses.is_dataclass(annotation)
    ):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _fields(model: type) -> Iterator[tuple[str, Any, Any]]:
    """Name, type and default."""
    if dataclasses.is_dataclass(model):
        for field in dataclasses.fields(model):
            yield field.name, field.type, field.default
    else:
        for name, info in model.model_fields.items():  # type: ignore[attr-defined] # `_models` gives no others
            found_out = info.default is None or info.default_factory is not None
            default = _FOUND_OUT if found_out else info.default
            yield name, info.annotation, _REQUIRED if info.is_required() else default


def _walk(model: type, place: str = "") -> Iterator[Setting]:
    for name, annotation, default in _fields(model):
        inner = list(_models(annotation))
        for section in inner:
            kind = f" {section.model_fields['kind'].default}" if len(inner) > 1 else ""  # type: ignore[attr-defined] # a union is one of engines
            yield from _walk(section, f"{place}{name}{kind}.")
        if not inner and name not in NO_SETTINGS:
            yield Setting(f"{place}{name}", default)


def _shown(lines: list[str]) -> Iterator[Shown]:
    table, prose = "", ""
    for line in lines:
        if found := _TABLE.fullmatch(line):
            table, prose = found[2], ""
        elif not (found := _SETTING.fullmatch(line)):
            prose = f"{prose}\n{line}" if line.startswith("# ") else ""
        elif found[1] == "kind":
            table = f"{table} {found[2].strip(chr(34))}"
        else:
            yield Shown(f"{table}.{found[1]}", found[2], prose)


EXISTING = {setting.place: setting for setting in _walk(Config)}
LINES = FILE.read_text(encoding="utf-8").split("\n")
SHOWN = list(_shown(LINES))


def _read(place: str, value: str) -> Any:
    """The value of a setting in a file with this one alone (and what its engine cannot lack)."""
    table, _, name = place.rpartition(".")
    outer, _, kind = table.partition(" ")
    repeated = bool(kind) or table in REPEATED
    head = f"[[{outer}]]\n" if repeated else f"[{table}]\n"
    head += f'kind = "{kind}"\n' if kind else ""
    if repeated:
        lacking = {
            setting.place.rpartition(".")[2]
            for setting in EXISTING.values()
            if setting.place.startswith(f"{table}.") and setting.default is _REQUIRED
        }
        head += "".join(f"{one} = {LACKING[one]}\n" for one in lacking - {name})
    found: Any = config.read(f"{head}{name} = {value}\n", Path("/spool/etc/spoolscan.toml"))
    for step in outer.split("."):
        found = getattr(found, step)
    return getattr(found[0] if repeated else found, name)


def test_the_walk_finds_the_settings_of_every_corner() -> None:
    assert {
        "site.domains",
        "bounds.depth",
        "forwarder.retries.expiry",
        "engine clamd.address",
        "engine yara.rules",
    } <= set(EXISTING)


def test_every_setting_is_documented_once_under_its_table_and_nothing_else_is() -> None:
    places = [shown.place for shown in SHOWN]
    assert sorted(set(EXISTING) - set(places)) == []
    assert sorted(set(places) - set(EXISTING)) == []
    assert sorted(places) == sorted(set(places))


@pytest.mark.parametrize("shown", SHOWN, ids=[shown.place for shown in SHOWN])
def test_a_setting_is_shown_with_its_default(shown: Shown) -> None:
    setting = EXISTING.get(shown.place)
    if setting is None:
        pytest.fail(f"{FILE.name} documents {shown.place}, which does not exist")
    value = _read(shown.place, shown.value)
    if setting.default is _FOUND_OUT:
        assert "Default:" in shown.prose
    elif setting.default is not _REQUIRED:
        assert value == setting.default


def test_every_line_has_the_form_of_the_file() -> None:
    for number, line in enumerate(LINES, 1):
        of_the_form = line in ("", "#") or re.match(r"# \S", line)
        assert of_the_form or _TABLE.fullmatch(line) or _SETTING.fullmatch(line), number
        assert len(line) <= 80, number


def test_every_setting_has_words_above_it() -> None:
    blocks = "\n".join(LINES).split("\n\n")
    for block in blocks:
        lines = [line for line in block.split("\n") if line]
        if any(_SETTING.fullmatch(line) and " kind" not in line for line in lines):
            assert any(line.startswith("# ") for line in lines), block


def test_the_file_as_it_is_shipped_changes_no_default() -> None:
    path = Path("/spool/etc/spoolscan.toml")
    assert config.read(FILE.read_text(encoding="utf-8"), path) == config.read("", path)


def test_with_every_comment_sign_taken_away_it_is_still_a_good_file() -> None:
    text = "\n".join(re.sub(r"^#(?! |$)", "", line) for line in LINES)
    settings = config.read(text, Path("/spool/etc/spoolscan.toml"))
    assert [engine.kind for engine in settings.engine] == ["yara", "clamd", "command"]
    assert set(tomllib.loads(text)) == set(Config.model_fields) - {"root"}
