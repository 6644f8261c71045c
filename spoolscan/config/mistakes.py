"""A mistake in the settings, said to an administrator: file, key, value, what is allowed."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Final, get_args

from pydantic_core import ErrorDetails

from spoolscan.config.engines import ClamdSettings, CommandSettings, YaraSettings

_ENGINES: Final = {"yara": YaraSettings, "clamd": ClamdSettings, "command": CommandSettings}

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


def line(path: Path, item: ErrorDetails, settings: type) -> str:
    """One mistake in a file, of settings of a class."""
    where = item["loc"]
    steps = [  # the kind of an engine follows its number, and is not a key
        step
        for before, step in zip(("", *where), where, strict=False)
        if not (isinstance(before, int) and step in _ENGINES)
    ]
    key = "".join(f"[{step + 1}]" if isinstance(step, int) else f".{step}" for step in steps)
    if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        what = "unknown setting" + _nearest(where, settings)
    elif item["type"] == "missing":
        what = "missing; it has no default"
    else:
        allowed = _ALLOWED.get(item["type"])
        words = f"allowed: {allowed.format(**item.get('ctx', {}))}" if allowed else item["msg"]
        what = f"{words.removeprefix('Value error, ')}; found {_shown(item['input'])}"
    shown = key.lstrip(".").encode("unicode_escape").decode("ascii")
    return f"{path}: {shown}: {what}"


def _nearest(where: tuple[int | str, ...], settings: type) -> str:
    """What stands there instead: "; did you mean X?", or all that is allowed."""
    place: Any = settings
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
    if step in _ENGINES:
        return _ENGINES[str(step)]
    if isinstance(step, int):
        return next(iter(get_args(model)), model)
    field = getattr(model, "model_fields", {}).get(step)
    return model if field is None else field.annotation


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
