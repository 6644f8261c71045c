"""Who may send to whom: ``etc/smtpd_check_rules``, in the form of Obtuse's smtpd of 1997.

::

    action:SRC:FROM:TO[:reply]

For each recipient the rules are read from the top, and the first that fits decides.  Where none
fits, the recipient is refused.  The actions:

==============  ====================================================================================
``allow``       the recipient is accepted
``deny``        refused, and the session is over
``noto``        refused, the session goes on
``deny_delay``  as ``deny`` and ``noto``, but the answer waits a while
``noto_delay``
``debug``       a line in the log, and on to the next rule
==============  ====================================================================================

SRC, FROM and TO are lists of words (`words`); ``A B EXCEPT C EXCEPT D`` fits what A or B fit and C
does not, unless D does, and so on.  ``reply`` is what the peer is told (`template`).

Pure: what has to be looked up is asked for.  `Rules.decide` is a generator that yields a `Fact` and
is sent its `Answer`; a fact is asked for only where all else of the rule fits.  Without an answer a
rule does not fit, and a refusal that such a rule would have prevented is a temporary one: no mail
is returned because the DNS was down.

A file is refused with all its mistakes, or means what it says.  Time is linear in the rules and in
the length of what they are matched against.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Final

from spoolscan.receiver.case import Answer, Asking, Case, Fact
from spoolscan.receiver.policy import RELAY_DENIED
from spoolscan.receiver.reply import Reply
from spoolscan.receiver.rules import template
from spoolscan.receiver.rules.scan import Mistake, Token, read_lines, scan
from spoolscan.receiver.rules.template import Template
from spoolscan.receiver.rules.words import (
    Word,
    has_name,
    recipient_word,
    sender_word,
    source_word,
)

ACCESS_DENIED: Final = Reply(550, "5.7.1", "access denied")
CANNOT_TELL: Final = Reply(451, "4.4.3", "cannot look up whether you may; try again later")


class Action(Enum):
    """What a rule does; the values are its names in the file."""

    ALLOW = "allow"
    DENY = "deny"
    NOTO = "noto"
    DENY_DELAY = "deny_delay"
    NOTO_DELAY = "noto_delay"
    DEBUG = "debug"

    @property
    def hangs_up(self) -> bool:
        return self in (Action.DENY, Action.DENY_DELAY)

    @property
    def delays(self) -> bool:
        return self in (Action.DENY_DELAY, Action.NOTO_DELAY)


@dataclass(frozen=True, slots=True)
class Words:
    """A list, and what is excepted from it.  Those words come first that need no lookup."""

    words: tuple[Word, ...]
    exceptions: Words | None = None

    @property
    def asks(self) -> bool:
        """Whether it may need a lookup."""
        mine = any(word.fact is not None for word in self.words)
        return mine or (self.exceptions is not None and self.exceptions.asks)

    @property
    def zones(self) -> frozenset[str]:
        """The lists that it may ask."""
        mine = frozenset(word.zone for word in self.words if word.zone)
        return mine | (self.exceptions.zones if self.exceptions is not None else frozenset())

    def fit(self, case: Case) -> Asking:
        """Whether any word fits, and none of the exceptions."""
        found: bool | None = False
        for word in self.words:
            one = yield from _fits(word, case)
            if one:
                found = True
                break
            found = None if one is None else found
        if found is False or self.exceptions is None:
            return found
        excepted = yield from self.exceptions.fit(case)
        if excepted:
            return False
        return None if excepted is None else found


def _fits(word: Word, case: Case) -> Asking:
    known = word.test(case)
    if not known or word.fact is None:
        return known
    fact = word.fact(case)
    if fact is None:
        return False
    answer = yield fact
    return None if answer is None else word.reads(answer)


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the file; ``fields`` are SRC, FROM and TO, those without lookups first."""

    line: int
    text: str
    action: Action
    fields: tuple[Words, ...]
    template: Template | None = None
    by_name: bool = False

    def fit(self, case: Case) -> Asking:
        """Whether all fields fit."""
        fits: bool | None = True
        for field in self.fields:
            one = yield from field.fit(case)
            if one is False:
                return False
            fits = None if one is None else fits
        return fits


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a recipient: ``refusal`` is None where it is accepted.

    ``rule`` is the one that decided, None where none did; ``debugged`` are the lines of the
    ``debug`` rules that fit before; ``unsure`` is the line of an ``allow`` that may have.
    """

    refusal: Reply | None
    rule: Rule | None = None
    debugged: tuple[int, ...] = ()
    unsure: int = 0

    @property
    def hangs_up(self) -> bool:
        return self.rule is not None and self.rule.action.hangs_up and not self.unsure

    @property
    def delays(self) -> bool:
        return self.rule is not None and self.rule.action.delays and not self.unsure


Deciding = Generator[Fact, Answer, Decision]


@dataclass(frozen=True)
class Rules:
    """The rules of one file.  Immutable."""

    rules: tuple[Rule, ...] = ()

    @classmethod
    def parse(cls, text: bytes, source: str) -> Rules:
        """Read the bytes of a file; ``source`` is its name in messages.  Raises ConfigError."""
        return cls(tuple(read_lines(text, source, _rule)))

    @property
    def by_name(self) -> tuple[int, ...]:
        """The lines of the rules that go by the names of peers."""
        return tuple(rule.line for rule in self.rules if rule.by_name)

    @cached_property
    def zones(self) -> frozenset[str]:
        """The lists that the rules may ask about a peer."""
        return frozenset(
            zone for rule in self.rules for field in rule.fields for zone in field.zones
        )

    def decide(self, case: Case) -> Deciding:
        """The first rule that fits decides."""
        debugged: list[int] = []
        unsure = 0
        for rule in self.rules:
            fits = yield from rule.fit(case)
            if fits is None and rule.action is Action.ALLOW:
                unsure = unsure or rule.line
            if not fits:
                continue
            if rule.action is Action.DEBUG:
                debugged.append(rule.line)
                continue
            if rule.action is Action.ALLOW:
                return Decision(None, rule, tuple(debugged))
            refusal = CANNOT_TELL if unsure else _refusal(rule, case)
            return Decision(refusal, rule, tuple(debugged), unsure)
        return Decision(CANNOT_TELL if unsure else _denied(case), None, tuple(debugged), unsure)


def _refusal(rule: Rule, case: Case) -> Reply:
    return rule.template.reply(case) if rule.template is not None else _denied(case)


def _denied(case: Case) -> Reply:
    return ACCESS_DENIED if case.recipient.domain in case.ours else RELAY_DENIED


def _rule(line: str, number: int) -> Rule:
    """Raises Mistake."""
    found = scan(line)
    try:
        action = Action(found.action.text)
    except ValueError as error:
        allowed = ", ".join(action.value for action in Action)
        raise Mistake(f"no such action; allowed: {allowed}", found.action.column) from error
    if found.reply is not None and action in (Action.ALLOW, Action.DEBUG):
        raise Mistake(f"{action.value} says nothing to the peer", found.reply.column)
    fields = [
        _list(found.source, source_word),
        _list(found.sender, sender_word),
        _list(found.recipient, recipient_word),
    ]
    return Rule(
        line=number,
        text=line,
        action=action,
        fields=tuple(sorted(fields, key=lambda field: field.asks)),
        template=template.parse(found.reply) if found.reply is not None else None,
        by_name=any(has_name(word) for word in found.source if word.text.upper() != "EXCEPT"),
    )


def _list(tokens: Sequence[Token], read: Callable[[Token], Word]) -> Words:
    """Raises Mistake."""
    groups: list[list[Word]] = [[]]
    for token in tokens:
        if token.text.upper() != "EXCEPT":
            groups[-1].append(read(token))
        elif not groups[-1]:
            raise Mistake("nothing stands before EXCEPT", token.column)
        else:
            groups.append([])
    if not groups[-1]:
        raise Mistake("nothing stands behind EXCEPT", tokens[-1].column)
    words: Words | None = None
    for group in reversed(groups):
        words = Words(tuple(sorted(group, key=lambda word: word.fact is not None)), words)
    assert words is not None  # noqa: S101 - there is a group at least
    return words
