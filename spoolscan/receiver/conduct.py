"""How a peer behaves within a session, and when it has to go.

=================  ==========================================================================
``errors``         commands refused for good (5xx)
``idle_commands``  commands, since a message was last taken, that led to none: by their kind
                   (NOOP, RSET ...), or because they were put off (4xx)
``recipients``     ten times as many may be put off once others of their message are accepted:
                   a list of thousands is told 452 for those beyond the limit, and then sends to
                   the rest (RFC 5321 4.5.3.1.10)
wrong logins       three
=================  ==========================================================================

So nobody stays by collecting 4xx.  They are no errors, for it is mostly we who cannot; nor is DATA
without a recipient, which whoever pipelines says before it knows (RFC 2920 3.1).
"""

from __future__ import annotations

from typing import Final

from spoolscan.receiver.events import Terms
from spoolscan.receiver.reply import RCPT_FIRST, TOO_IDLE, TOO_MANY_ERRORS, TOO_MANY_LOGINS, Reply

LOGINS: Final = 3  # wrong ones
_DEFERRALS: Final = 10  # times the recipients of a message


class Conduct:
    """One session's.  What a method returns ends the session; None: it goes on."""

    __slots__ = ("_deferred", "_idle", "_logins", "errors")

    def __init__(self) -> None:
        self.errors = 0
        self._idle = 0
        self._deferred = 0
        self._logins = 0

    def refused(self, reply: Reply, terms: Terms, *, going_on: bool) -> Reply | None:
        """It was told this 4xx or 5xx; ``going_on``: others of its message are accepted."""
        if reply.code >= 500 and reply is not RCPT_FIRST:
            self.errors += 1
            return TOO_MANY_ERRORS if self.errors > terms.errors else None
        if not going_on:
            return self.wasted(terms)
        self._deferred += 1
        return TOO_IDLE if self._deferred > _DEFERRALS * terms.recipients else None

    def wasted(self, terms: Terms) -> Reply | None:
        """A command that leads to no mail."""
        self._idle += 1
        return TOO_IDLE if self._idle > terms.idle_commands else None

    def mistook(self) -> Reply | None:
        """A login that was not right."""
        self._logins += 1
        return TOO_MANY_LOGINS if self._logins >= LOGINS else None

    def delivered(self) -> None:
        """A message was taken."""
        self._idle = self._deferred = 0
