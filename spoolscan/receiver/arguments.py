"""What stands behind MAIL, RCPT and BDAT: the question it is, or the reply that says what is wrong.

Parameters are those of RFC 1870 (SIZE), 6152 (BODY), 6531 (SMTPUTF8), 3461 (RET, ENVID, NOTIFY,
ORCPT) and 4954 (AUTH, which is read and believed by nobody).  What a peer put into ENVID or ORCPT
goes into our own reports one day: only printable text is taken, however it was coded.
"""

from __future__ import annotations

import re
from typing import Final

from spoolscan.envelope import from_xtext
from spoolscan.receiver.address import (
    NULL,
    BadParameter,
    BadPath,
    parse_parameters,
    parse_path,
    split_argument,
)
from spoolscan.receiver.events import Mail, Rcpt
from spoolscan.receiver.reply import BAD_SIZE, BAD_VALUE, NO_RECIPIENT, NOT_SUPPORTED, Reply

_BODIES: Final = ("", "7BIT", "8BITMIME")
_RETS: Final = ("", "FULL", "HDRS")
_EVENTS: Final = frozenset({"SUCCESS", "FAILURE", "DELAY"})
_SIZE: Final = re.compile(r"[0-9]{1,20}")  # RFC 1870, RFC 3030
_XTEXT: Final = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_ENVID: Final = 100  # characters, RFC 3461 4.4
_ORCPT: Final = 500  # characters, RFC 3461 4.2
_TYPE: Final = re.compile(r"[A-Za-z0-9-]{1,40}")


def read_mail(argument: str, *, auth: bool) -> Mail | Reply:
    """``FROM:<a@b.example> SIZE=100 ...``"""
    try:
        text, rest = split_argument(argument, "FROM")
        parameters = parse_parameters(rest)
        utf8 = "SMTPUTF8" in parameters
        path = parse_path(text, utf8=utf8)
    except BadPath as error:
        return Reply(501, "5.1.7", str(error))
    except BadParameter as error:
        return Reply(501, "5.5.4", str(error))
    bare = not parameters.pop("SMTPUTF8", "")
    complete = all(parameters.values())
    size = parameters.pop("SIZE", "0")
    body = parameters.pop("BODY", "").upper()
    ret = parameters.pop("RET", "").upper()
    envid = _decoded(parameters.pop("ENVID", ""), _ENVID)
    author = _decoded(parameters.pop("AUTH", ""), _ORCPT) if auth else ""
    if parameters:
        return NOT_SUPPORTED
    known = body in _BODIES and ret in _RETS and _SIZE.fullmatch(size)
    if not (known and bare and complete) or envid is None or author is None:
        return BAD_VALUE
    return Mail(path, int(size), body, utf8, ret, envid)


def read_rcpt(argument: str, *, utf8: bool) -> Rcpt | Reply:
    """``TO:<a@b.example> NOTIFY=NEVER ...``"""
    try:
        text, rest = split_argument(argument, "TO")
        path, parameters = parse_path(text, utf8=utf8), parse_parameters(rest, utf8=utf8)
    except BadPath as error:
        return Reply(501, "5.1.3", str(error))
    except BadParameter as error:
        return Reply(501, "5.5.4", str(error))
    complete = all(parameters.values())
    notify = parameters.pop("NOTIFY", "").upper()
    orcpt = _original(parameters.pop("ORCPT", ""), utf8=utf8)
    if parameters:
        return NOT_SUPPORTED
    if not complete or not _is_notify(notify) or orcpt is None:
        return BAD_VALUE
    return NO_RECIPIENT if path == NULL else Rcpt(path, notify, orcpt)


def read_chunk(argument: str) -> tuple[int, bool] | Reply:
    """``1000 LAST`` to size and whether it is the last."""
    size, _, last = argument.partition(" ")
    if not _SIZE.fullmatch(size) or last.strip(" ").upper() not in ("", "LAST"):
        return BAD_SIZE
    return int(size), bool(last)


def _is_notify(text: str) -> bool:
    words = text.split(",")
    return text in ("", "NEVER") or (_EVENTS.issuperset(words) and len(set(words)) == len(words))


def _original(text: str, *, utf8: bool) -> str | None:
    """ORCPT decoded; None where it is not ``TYPE;ADDRESS`` (RFC 3461 4.2, RFC 6533 3)."""
    if not text:
        return ""
    kind, semicolon, address = text.partition(";")
    if not semicolon or not address or len(text) > _ORCPT or not _TYPE.fullmatch(kind):
        return None
    if utf8 and kind.lower() == "utf-8" and not address.isascii():
        return text
    decoded = _decoded(address, _ORCPT)
    return decoded and f"{kind};{decoded}"


def _decoded(text: str, longest: int) -> str | None:
    """From xtext; None where it is none, or holds what cannot be printed."""
    if len(text) > longest or not _XTEXT.fullmatch(text):
        return None
    decoded = from_xtext(text)
    return decoded if decoded.isprintable() else None
