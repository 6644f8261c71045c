"""The settings of ``[signatures]`` and of each ``[[signatures.source]]``."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, model_validator

from spoolscan.config.kinds import Domain, Section
from spoolscan.units import Duration, Size


def _name(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,40}", value):
        raise ValueError("allowed: small letters, digits, dots, - and _, for it names a file")
    return value


def _url(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"(https://[^/\s]+|file:)/[!-~]+", value):
        raise ValueError("allowed: https://HOST/PATH or file:/PATH")
    return value


def _signature(value: object) -> object:
    return value if value == "" else _url(value)


def _signer(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(
        r"minisign:[A-Za-z0-9+/]{56}|gpg:[^\0]+|nobody", value
    ):
        raise ValueError(
            'allowed: "minisign:" and a public key, "gpg:" and the file of a keyring, "nobody"'
        )
    return value


class Source(Section):
    """Where one file of signatures comes from."""

    name: Annotated[str, BeforeValidator(_name)]
    url: Annotated[str, BeforeValidator(_url)]
    format: Literal["yara", "hashes"] = "yara"
    signed_by: Annotated[str, BeforeValidator(_signer)]
    signature: Annotated[str, BeforeValidator(_signature)] = ""
    old: Duration = 30 * 86400.0


class Signatures(Section):
    """What the engines know their enemies by, and how it is kept new."""

    freshclam: tuple[str, ...] = ()
    reload: bool = False
    record: Domain | Literal[""] = "current.cvd.clamav.net"
    old: Duration = 3 * 86400.0
    timeout: Duration = 300.0
    max_size: Size = 67_108_864
    source: tuple[Source, ...] = ()

    @model_validator(mode="after")
    def _has_no_two_of_a_name(self) -> Self:
        names = [source.name for source in self.source]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two sources are called {name}: give each a name of its own")
        return self
