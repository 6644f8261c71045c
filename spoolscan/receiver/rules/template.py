"""The reply of a rule: ``[code [status]] text``, with what is known of the case put in.

``%F`` the sender, ``%T`` the recipient, ``%H`` the peer's name, ``%I`` its address, ``%U`` its user
(``unknown`` where there is none), ``%C`` a colon, ``%%`` a percent sign.  What is put in is cut and
printable, so that a reply stays one line whatever a peer called itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from spoolscan.receiver.case import Case
from spoolscan.receiver.reply import Reply, printable
from spoolscan.receiver.rules.scan import Mistake, Token

_CODE: Final = re.compile(r"(?P<code>\d+)(?: +(?P<status>\d+\.[\d.]+))?(?: +|$)")
_STATUS: Final = re.compile(r"[45]\.\d{1,3}\.\d{1,3}")
_SIGN: Final = re.compile(r"%(.?)")
_LONGEST: Final = 250  # characters of text, and of each value put in


@dataclass(frozen=True, slots=True)
class Template:
    """Positive replies there are none: a rule that allows says nothing."""

    code: int
    status: str
    text: str

    def plain(self) -> Reply:
        """The reply where nothing is to be put in."""
        return Reply(self.code, self.status, self.text.replace("%%", "%"))

    def reply(self, case: Case) -> Reply:
        """The reply in this case."""
        values = {
            "F": str(case.sender) or "<>",
            "T": str(case.recipient),
            "H": case.client.name or "unknown",
            "I": str(case.client.address or "unknown"),
            "U": case.client.user or "unknown",
            "C": ":",
            "%": "%",
        }
        text = _SIGN.sub(lambda sign: printable(values[sign[1]], _LONGEST), self.text)
        return Reply(self.code, self.status, text)


def parse(token: Token) -> Template:
    """Raises Mistake: not a refusal, or a sign that stands for nothing."""
    found = _CODE.match(token.text)
    code, status, text = 550, "", token.text
    if found is not None:
        code, status, text = int(found["code"]), found["status"] or "", token.text[found.end() :]
        if not 400 <= code <= 559 or code % 100 >= 60:
            raise Mistake("the code of a refusal is 4xx or 5xx, such as 550", token.column)
        place = token.column + found.start("status")
        if status and (not _STATUS.fullmatch(status) or status[0] != str(code)[0]):
            raise Mistake(f"an enhanced status for {code} is such as {code // 100}.7.1", place)
    if not text:
        raise Mistake("words must follow the code", token.column)
    start = token.column + len(token.text) - len(text)
    if len(text) > _LONGEST:
        raise Mistake(f"more than {_LONGEST} characters", start + _LONGEST)
    for position, char in enumerate(text):
        if not " " <= char <= "~":
            raise Mistake("a reply is of printable ASCII", start + position)
    for sign in _SIGN.finditer(text):
        if sign[1] not in set("FTHIUC%") or not sign[1]:
            raise Mistake("allowed: %F %T %H %I %U %C %%", start + sign.start())
    return Template(code, status or f"{code // 100}.7.1", text)
