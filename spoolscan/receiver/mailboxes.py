"""Whether a recipient of our own domains exists, so that mail for others is refused at the door and
never becomes a report to a forged sender: one more link of the `judge`.

By a list, or by asking the next hop (`inquiry`) and remembering what it said (`answers`):

=================================  ==========================================================
the last answer                    then
=================================  ==========================================================
yes, younger than ``refresh``      250
yes, younger than ``yes``          asked again; 250 also where there is no answer
no, younger than ``no``            550 5.1.1
none, or older                     asked; without an answer 450 4.4.3, or 250 by setting
=================================  ==========================================================

So those who got mail lately get it too while the next hop is down: it waits in outgoing/.  Where
there is nobody to ask, everybody is taken.  Nobody is asked about mail that goes out.

The next hop is asked about the local part as it is written, for its case is the next hop's (RFC
5321 2.4).  What it says is remembered once for all spellings of a mailbox.  A yes holds for all of
them; a no only for the one in which it was asked, and it never displaces a yes to another: nobody
shuts BOB out by asking for bob, or fills the memory with 2^n ways to write him.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol, TypeVar

from spoolscan import config, log
from spoolscan.errors import ConfigError, TemporaryFailure
from spoolscan.livefile import LiveFile
from spoolscan.receiver.address import Path
from spoolscan.receiver.answers import FILE, Answer, Answers
from spoolscan.receiver.client import Client
from spoolscan.receiver.events import Mail
from spoolscan.receiver.inquiry import Inquiry
from spoolscan.receiver.judge import Link
from spoolscan.receiver.recipients import RecipientList
from spoolscan.receiver.reply import Reply

T = TypeVar("T")

UNKNOWN: Final = Reply(550, "5.1.1", "no such recipient here")
UNSURE: Final = Reply(
    450, "4.4.3", "cannot tell now whether this recipient exists, try again later"
)
_LARGEST: Final = 32 << 20  # bytes of a list: about a million addresses


class Checked(Link, Protocol):
    """A link that may hold connections and files."""

    def close(self) -> None:
        """At the end, or when another one is in its place; what is under way goes on."""


def make(settings: config.Config) -> Checked | None:
    """The link that the settings ask for.  Raises ConfigError."""
    chosen, domains = settings.recipients, frozenset(settings.site.domains)
    if chosen.check == "list":
        return Listed(read_list(settings), domains, chosen.delimiter)
    if chosen.check == "callout":
        return Asked(Inquiry(settings), Memory(settings), domains, chosen, time.time)
    return None


def read_list(settings: config.Config) -> LiveFile[RecipientList]:
    """The list as it is now.  Raises ConfigError."""
    path = str(settings.path(settings.recipients.file))
    return LiveFile(path, RecipientList.parse, _list_problem, _LARGEST)


def _list_problem(problem: ConfigError) -> None:
    """The list before stays in force."""
    for line in str(problem).split("\n"):
        log.event("receiver", "-", logging.ERROR, event="list-not-read", reason=line)


class Listed:
    """By the file of `recipients`."""

    def __init__(
        self, known: LiveFile[RecipientList], domains: frozenset[str], delimiter: str
    ) -> None:
        self._list = known
        self._domains = domains
        self._delimiter = delimiter

    async def recipient(self, client: Client, mail: Mail, path: Path) -> Reply | None:  # noqa: ARG002 - a link of the chain
        """As `judge.Link`."""
        if path.domain and path.domain not in self._domains:
            return None
        known = self._list.current().why(path.local, path.domain, self._delimiter)
        return None if known else UNKNOWN

    def close(self) -> None:
        """Nothing is open."""


class Memory:
    """`Answers` that may fail: then nothing is remembered, and that is logged once a failure."""

    def __init__(self, settings: config.Config) -> None:
        self._most = settings.recipients.remembered
        self._path = settings.path(FILE)
        self._answers: Answers | None = None
        self._failed = False

    def get(self, mailbox: str) -> Answer | None:
        """The last answer; None where there is none, or it cannot be read."""
        return self._try(lambda answers: answers.get(mailbox))

    def put(self, mailbox: str, answer: Answer) -> None:
        """Remember it, where that is possible."""
        self._try(lambda answers: answers.put(mailbox, answer))

    def close(self) -> None:
        """It opens again when it is asked."""
        answers, self._answers = self._answers, None
        if answers is not None:
            answers.close()

    def _try(self, call: Callable[[Answers], T]) -> T | None:
        try:
            self._answers = self._answers or Answers(self._path, self._most)
            done = call(self._answers)
        except TemporaryFailure as error:
            if not self._failed:
                log.event("receiver", "-", logging.ERROR, event="not-remembered", reason=error)
            self._failed = True
            self.close()
            return None
        self._failed = False
        return done


class Asked:
    """By the next hop.  ``clock`` gives seconds since the epoch."""

    def __init__(
        self,
        inquiry: Inquiry,
        memory: Memory,
        domains: frozenset[str],
        settings: config.Recipients,
        clock: Callable[[], float],
    ) -> None:
        self._inquiry = inquiry
        self._memory = memory
        self._domains = domains
        self._settings = settings
        self._clock = clock

    async def recipient(self, client: Client, mail: Mail, path: Path) -> Reply | None:  # noqa: ARG002 - a link of the chain
        """As `judge.Link`."""
        if path.domain not in self._domains:
            return None
        known = await self.exists(path)
        if known is None:
            return None if self._settings.unreachable == "accept" else UNSURE
        return None if known else UNKNOWN

    async def exists(self, path: Path) -> bool | None:
        """None where the next hop could not tell, and nothing is remembered that would do."""
        now, last = self._clock(), self._memory.get(path.mailbox)
        if last is not None and not last.known and last.address != path.address:
            last = None
        if last is not None and self._is_good(last, now, self._settings.refresh):
            return last.known
        answer = await self._inquiry.ask(path.address)
        if answer is None:
            return True
        if answer.known is None:
            log.event("receiver", "-", logging.WARNING, event="no-answer", reason=answer.words)
            good = last is not None and last.known and self._is_good(last, now, self._settings.yes)
            return True if good else None
        if answer.known or last is None or last.address == path.address:
            self._memory.put(path.mailbox, replace(answer, at=now))
        return answer.known

    def _is_good(self, answer: Answer, now: float, yes: float) -> bool:
        """Not for what was said at a time still to come: the clock jumped."""
        return 0 <= now - answer.at < (yes if answer.known else self._settings.no)

    def close(self) -> None:
        """As `Checked`."""
        self._inquiry.close()
        self._memory.close()
